"""Progress knows where each cell stands, fits every screen, and stays out of pipes."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from rich.cells import cell_len

from bench.cli.frame import frame
from bench.cli.progress import LiveProgress, PlainProgress, choose
from bench.cli.view import RunState, clock
from bench.runs.run_events import CellDone, DataReady, JobDone, JobReport, JobRetried, JobStarted, Reading, RunReady, Tick
from bench.sources.read_progress import forwarded_progress, reading

TASK = "churn/v1/h=28d/elig=h/split=time/cutoffs=3"
HOSTILE = "[red]x[/red]\x1b[2J\r\n\x07\u202eevil"
LONG = "a-model-whose-author-wanted-to-say-everything-in-its-name-1"
MODELS = ("base-rate", "rfm-logit", "lstm", "gru")


def ready(cells, trials=4, finals=1, workers=2):
    return RunReady(tuple(cells), trials, finals, workers, "short", "runs/churn-ab12")


def job(model, stage="search", number=0, value=None, seconds=2.0, status="ok", dataset="retail", reused=False):
    entry = {"stage": stage, "number": number, "status": status, "reason": "", "value": value}
    return JobDone(dataset, model, {**entry, "fit_seconds": seconds, "predict_seconds": 0.0}, reused)


def a_cell(model, dataset="retail", trials=4, value=0.77):
    """Yield all events of one cell."""
    for number in range(trials):
        yield JobStarted(dataset, model, "search", number)
        yield JobReport(dataset, model, 3, 0.5)
        yield job(model, "search", number, value - number / 100, dataset=dataset)
    for _ in range(2):
        yield JobStarted(dataset, model, "final", 0)
        yield job(model, "final", dataset=dataset)
    yield CellDone(dataset, model, "ok", "", value, 2.0 * (trials + 2))


def fed(events, every=1.0):
    run, now = RunState(0.0), 0.0
    for event in events:
        run.take(event, now)
        now += every
    return run


class Now:
    """A clock that a test moves."""

    def __init__(self):
        self.at = 0.0

    def __call__(self):
        return self.at


# the state


def test_a_cell_goes_from_waiting_through_search_and_final_to_done():
    run = RunState(0.0)
    run.take(ready([("retail", "lstm")]), 0.0)
    words = [run.cells["retail", "lstm"].word]
    for event in a_cell("lstm"):
        run.take(event, 1.0)
        words.append(run.cells["retail", "lstm"].word)
    assert list(dict.fromkeys(words)) == ["waiting", "search", "final", "done"]
    cell = run.cells["retail", "lstm"]
    assert (cell.searched, cell.finals, cell.best, cell.best_trial, cell.seconds(99.0)) == (4, 2, 0.77, 0, 12.0)


def test_the_best_trial_is_the_highest_valid_score_and_the_first_of_equals():
    values = [(0, 0.70), (2, 0.75), (1, 0.75), (3, float("nan"))]
    run = fed([ready([("retail", "lstm")]), *(job("lstm", "search", n, v) for n, v in values), job("lstm", "search", 4, 0.9, status="oom")])
    cell = run.cells["retail", "lstm"]
    assert (cell.best, cell.best_trial, cell.failed_trials) == (0.75, 1, 1)


def test_what_confirms_a_search_is_a_part_of_it_and_no_score_of_a_trial():
    run = fed([ready([("retail", "lstm")]), job("lstm", "search", 1, 0.75), JobStarted("retail", "lstm", "unseen-1", 2)])
    run.take(job("lstm", "unseen-1", 2, 0.99), 5.0)
    cell = run.cells["retail", "lstm"]
    assert (cell.word, cell.searched, cell.best, cell.best_trial, cell.running) == ("search", 2, 0.75, 1, [])


def test_a_failed_cell_keeps_its_word_and_reason():
    run = fed([ready([("retail", "gru")]), CellDone("retail", "gru", "oom", "4.1 GB resident, limit 4.0", None, 69.0)])
    cell = run.cells["retail", "gru"]
    assert (cell.word, cell.status, cell.reason, cell.best) == ("failed", "oom", "4.1 GB resident, limit 4.0", None)


def test_jobs_of_the_ledger_are_counted_as_reused():
    run = fed([ready([("retail", "lstm")]), job("lstm", reused=True), JobStarted("retail", "lstm", "search", 1), job("lstm", number=1)])
    assert run.cells["retail", "lstm"].reused == 1
    assert not run.cells["retail", "lstm"].running


def test_time_left_is_unknown_until_trial_0_of_every_cell_is_known():
    run = fed([ready([("retail", "lstm"), ("retail", "gru")]), job("gru", number=1), job("lstm", value=0.7)])
    assert run.seconds_left(0.0) is None
    assert run.at_least(0.0) == pytest.approx(2.0 * 5 / 2)  # 3 trials and 2 finals of 2 s each, 2 workers
    run.take(job("gru", number=0), 0.0)
    assert run.seconds_left(0.0) == pytest.approx(2.0 * (5 + 4) / 2)


def test_time_left_shrinks_while_jobs_run_and_never_below_what_has_not_begun():
    run = fed([ready([("retail", "lstm")], workers=1), job("lstm", value=0.7), JobStarted("retail", "lstm", "search", 1)], every=0.0)
    assert [run.seconds_left(now) for now in (0.0, 1.0, 50.0)] == [10.0, 9.0, 8.0]


def test_a_model_without_space_and_one_with_early_finals_leave_no_phantom_trials():
    run = fed([ready([("retail", "base-rate")], trials=30), job("base-rate", value=0.5), JobStarted("retail", "base-rate", "final", 0)])
    cell = run.cells["retail", "base-rate"]
    assert (cell.expected_jobs, cell.expected_finals, cell.open) == (2, 1, 1)


def test_odd_numbers_and_unknown_cells_never_break_the_state():
    odd = {"stage": "search", "number": 7, "status": "ok", "value": None, "fit_seconds": float("nan"), "predict_seconds": None}
    run = RunState(5.0)
    events = [
        JobDone("retail", "lstm", odd, False),
        JobDone("retail", "lstm", {}, True),
        JobRetried("retail", "vae", "killed"),
        CellDone("retail", "gru", "", "", float("inf"), float("-inf")),
        JobStarted("retail", "gru", "final", 3),
        Tick(),
    ]
    for event in events:
        run.take(event, 0.0)  # before the start: a clock that steps back
        assert run.at_least(-9.0) >= 0
        assert 0 <= run.fraction <= 1
        assert frame(run, 0.0, 79, 23, {})


def test_the_share_done_only_grows_and_is_1_only_at_the_end():
    run, shares = RunState(0.0), []
    cells = [("retail", m) for m in MODELS]
    for event in [ready(cells, trials=6), *(e for _, m in cells for e in a_cell(m, trials=1 if m == "base-rate" else 6))]:
        run.take(event, 0.0)
        shares.append(run.fraction)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert all(share < 1 for share in shares[:-1])


def test_durations_are_spelt_with_hours_only_where_there_are_any():
    assert [clock(s) for s in (-3, 0, 12, 182, 3723)] == ["0:00", "0:00", "0:12", "3:02", "1:02:03"]
    assert clock(192, padded=True) == "03:12"


# the live view's lines


def crowd(n, names=MODELS):
    cells = [(f"set-{at // len(names)}", names[at % len(names)]) for at in range(n)]
    events = [DataReady("set-0", TASK, ("4,000 users",)), ready(cells)]
    for at, (dataset, model) in enumerate(cells[: 2 * n // 3]):
        if at % 7 == 3:
            events.append(CellDone(dataset, model, "oom", "4.1 GB resident, limit 4.0; raise --job-memory", None, 69.0))
        else:
            stop = None if at % 5 else 1 + at % 11
            events += list(a_cell(model, dataset))[:stop]
    return fed(events)


def texts(lines):
    return ["".join(text for text, _ in line) for line in lines]


@pytest.mark.parametrize("n", [1, 9, 40, 200])
@pytest.mark.parametrize("names", [MODELS, ("модель-" * 5, "模型" * 20, HOSTILE, LONG)], ids=["plain", "odd"])
def test_no_live_line_is_wider_than_the_screen_and_no_view_higher(n, names):
    run = crowd(n, names)
    for width in (*range(12, 50, 3), 59, 71, 79, 119):
        for height in (6, 10, 23, 60):
            lines = texts(frame(run, 500.0, width, height, {}))
            assert len(lines) <= height
            assert max(cell_len(line) for line in lines) <= width
            assert "cells" in "".join(lines)


@pytest.mark.parametrize("width", [39, 79])
def test_names_are_whole_at_every_width(width):
    run = fed([ready([("retail", "lstm"), ("retail", LONG)]), *list(a_cell(LONG))[:3], *list(a_cell("lstm"))[:3]])
    lines = texts(frame(run, 60.0, width, 23, {}))
    assert LONG in "".join(line.strip() for line in lines)
    assert "..." not in "".join(lines)
    assert "\u2026" not in "".join(lines)


def test_the_view_at_80_columns_says_what_the_design_shows():
    events = [
        DataReady("retail", TASK, ("41,203 users",)),
        ready([("retail", m) for m in ("rfm-logit", "lstm", "gru", "vae")]),
        *a_cell("rfm-logit", value=0.781),
        *list(a_cell("lstm", value=0.774))[:7],
        CellDone("retail", "gru", "oom", "4.1 GB, limit 4.0; raise --job-memory", None, 69.0),
    ]
    lines = texts(frame(fed(events, every=0.0), 12.0, 79, 23, {("retail", "gru"): "logs/retail-gru.txt"}))
    assert [line.rstrip() for line in lines] == [
        "  rfm-logit  done     4/4  valid AUC .781                 0:12",
        "  lstm       search   2/4  valid AUC .774 best, trial 0   0:16  left ~0:06",
        "  gru        failed   oom  4.1 GB, limit 4.0  logs/retail-gru.txt",
        "  1 waiting (vae)",
        "cells 2/4  failed 1  [#######---------]  44 %  0:12  estimating, over 0:03 left",
    ]


def test_a_cell_that_has_begun_and_has_no_worker_waits():
    events = [ready([("retail", m) for m in ("lstm", "gru", "vae")]), *list(a_cell("lstm"))[:3], *list(a_cell("gru"))[:4]]
    run = fed(events, every=0.0)
    lines = texts(frame(run, 12.0, 79, 23, {}))
    assert [line.split()[:3] for line in lines[:2]] == [["lstm", "waiting", "1/4"], ["gru", "search", "1/4"]]
    assert lines[2] == "  1 more waiting (vae)"
    short = texts(frame(run, 12.0, 79, 3, {}))
    assert short[0].startswith("  gru        search") or short[0].split()[:2] == ["gru", "search"], "who runs comes first"
    assert short[1] == "  2 waiting (lstm, vae)"


def test_of_many_cells_each_that_ended_is_said_above_the_view_and_stays():
    _, screen, _ = on_terminal(80, 24, "20")
    ended = [row for row in screen.rows if re.match(r"\d\d:\d\d \d+/20 ", row)]
    assert [row.split()[1] for row in ended] == [f"{n}/20" for n in range(1, 21)]
    assert sum(" failed oom: " in row for row in ended) == 3
    assert screen.rows[-3].startswith("cells 20/20")


def test_cells_without_a_line_are_counted_in_words():
    lines = texts(frame(crowd(40), 500.0, 79, 23, {}))
    assert re.fullmatch(r"  14 (more )?waiting, \d+ (more )?done", lines[-2])


def test_a_cause_that_does_not_fit_stands_whole_on_lines_of_its_own():
    reason = "ValueError: the shapes (12, 4) and (5, 3) do not match in the third layer of the decoder, which expects four inputs"
    run = fed([ready([("retail", "vae")]), CellDone("retail", "vae", "failed", reason, None, 1.0)])
    lines = texts(frame(run, 9.0, 79, 23, {}))
    assert lines[0].split()[:3] == ["vae", "failed", "error"]
    assert reason in " ".join(line.strip() for line in lines[1:])


# plain lines


def spoken(events, at=None):
    stream, now = io.StringIO(), Now()
    with PlainProgress(stream, now) as listen:
        for number, event in enumerate(events):
            now.at = at[number] if at else 0.0
            listen(event)
    return stream.getvalue().splitlines()


def test_plain_lines_tell_data_start_and_every_cell_with_its_time():
    cells = [("retail", "lstm"), ("retail", "gru"), ("retail", "vae")]
    events = [
        DataReady("retail", TASK, ("41,203 users", "horizon 28 days")),
        ready(cells, trials=30, workers=4),
        job("lstm", value=0.774),
        CellDone("retail", "lstm", "ok", "", 0.774, 322.0),
        JobRetried("retail", "gru", "the worker was ended by SIGKILL"),
        CellDone("retail", "gru", "oom", "4.1 GB resident, limit 4.0; raise --job-memory", None, 69.0),
        CellDone("retail", "vae", "failed", "ValueError: no", None, 6.0),
    ]
    assert spoken(events, [0, 0, 40, 192, 195, 200, 4000]) == [
        f"{TASK}  retail: 41,203 users; horizon 28 days",
        "3 cells x 30 trials, 4 workers; profile short; in runs/churn-ab12",
        "03:12 1/3 lstm ok valid AUC .774 322 s",
        "03:15 1/3 gru runs a job again: the worker was ended by SIGKILL",
        "03:20 2/3 gru failed oom: 4.1 GB resident, limit 4.0; raise --job-memory",
        "1:06:40 3/3 vae failed: ValueError: no",
    ]


def test_the_heartbeat_comes_at_most_once_a_minute_and_only_into_silence():
    events = [ready([("retail", "lstm"), ("retail", "gru")]), JobStarted("retail", "lstm", "search", 0), *[Tick()] * 300]
    lines = spoken(events, [0, 0, *range(1, 301)])
    assert [line.split()[0] for line in lines[1:]] == ["01:00", "02:00", "03:00", "04:00", "05:00"]
    assert lines[1] == "01:00 0/2 0 %, estimating; running: lstm"


def test_the_heartbeat_names_what_runs_now_not_every_cell_that_has_begun():
    names = [f"m{n}" for n in range(60)]
    events = [ready([("retail", name) for name in names])]
    for name in names:
        events += [JobStarted("retail", name, "search", 0), job(name, value=0.5)]
    events += [JobStarted("retail", "m7", "search", 1), Tick()]
    assert spoken(events, [*[0] * (len(events) - 1), 90])[-1].endswith("; running: m7")


def test_no_control_character_of_a_name_or_reason_reaches_the_stream():
    events = [
        DataReady(HOSTILE, TASK, (HOSTILE,)),
        ready([(HOSTILE, HOSTILE)]),
        JobRetried(HOSTILE, HOSTILE, HOSTILE),
        CellDone(HOSTILE, HOSTILE, "failed", HOSTILE, None, 1.0),
    ]
    text = "\n".join(spoken(events))
    assert all(c.isprintable() for c in text.replace("\n", ""))
    assert "[red]x[/red]" in text


# which of them


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"CI": "true"}, {"NO_PROGRESS": "1"}, {"CI": "1", "FORCE_COLOR": "1"}])
def test_a_terminal_gets_plain_lines_where_a_live_view_is_not_wanted(environ):
    assert isinstance(choose(Terminal(), quiet=False, json=False, environ={"TERM": "xterm", **environ}), PlainProgress)


@pytest.mark.parametrize("environ", [{}, {"CI": "false"}, {"NO_COLOR": "1"}, {"FORCE_COLOR": ""}])
def test_a_terminal_gets_a_live_view_whatever_its_colours(environ):
    assert isinstance(choose(Terminal(), quiet=False, json=False, environ={"TERM": "xterm", **environ}), LiveProgress)


@pytest.mark.parametrize("flags", [{"quiet": True, "json": False}, {"quiet": False, "json": True}])
def test_quiet_and_json_write_nothing_and_still_know_the_state(flags):
    stream = Terminal()
    with choose(stream, environ={"TERM": "xterm"}, **flags) as listen:
        for event in [ready([("retail", "lstm")]), *a_cell("lstm")]:
            listen(event)
    assert not stream.getvalue()
    assert len(listen.run.finished) == 1


def test_rich_is_not_imported_before_a_live_view_is_drawn():
    code = "import sys, bench.cli.view, bench.cli.progress, bench.cli.summary; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# whole processes

FEED = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_progress import *
n, names = int(sys.argv[1]), sys.argv[2:] or [*MODELS, "rfm-lightgbm"]
cells = [(f"set-{{at // len(names)}}" if n > 9 else "retail", names[at % len(names)] + str(at)) for at in range(n)]
with choose(sys.stderr, quiet=False, json=False, environ=os.environ) as listen:
    listen(DataReady("retail", TASK, ("41,203 events of 2,000 users; dropped of 50,000 rows: 8,797 no user", "horizon 28 days")))
    listen(ready(cells))
    for at, (dataset, model) in enumerate(cells):
        if at % 6 == 3:
            listen(CellDone(dataset, model, "oom", "4.1 GB resident, limit 4.0; raise --job-memory or lower --workers", None, 69.0))
            continue
        for event in a_cell(model, dataset):
            listen(event)
            time.sleep(0.04 / n if sys.stderr.isatty() else 0)
    print("a warning of some library", file=sys.stderr)
print("the table")
"""
QUIET_ENVIRON = {k: v for k, v in os.environ.items() if k not in {"CI", "NO_PROGRESS", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}}


class Screen:
    """A terminal that knows what a live view uses; it notes lines that wrap and moves above its top."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.rows, self.at, self.deepest = [""], 0, 0
        self.wrapped, self.lost, self.most_up = [], False, 0

    def write(self, text):
        column = 0
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+|\x1b", text):
            if part == "\n":
                self.at += 1
                self.rows += [""] * (self.at + 1 - len(self.rows))
            elif part == "\r":
                column = 0
            elif part.endswith("A") and part[0] == "\x1b":
                self.at -= int(part[2:-1])
                self.lost |= self.at < len(self.rows) - self.height
            elif part == "\x1b[2K":
                self.rows[self.at] = ""
            elif part[0] != "\x1b":
                self.rows[self.at] = self.rows[self.at][:column] + part
                column += len(part)
                if cell_len(self.rows[self.at]) > self.width:
                    self.wrapped.append(self.rows[self.at])
            else:
                assert re.fullmatch(r"\x1b\[([0-9;]*m|\?25[lh])", part), repr(part)


def on_terminal(width, height, *arguments, **environ):
    """Run the feed under a pseudo-terminal; return its raw stderr, the screen, and its stdout."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    environ = {**QUIET_ENVIRON, "TERM": "xterm-256color", **environ}
    process = subprocess.Popen([sys.executable, "-c", FEED, *arguments], stdin=slave, stdout=subprocess.PIPE, stderr=slave, env=environ)
    os.close(slave)
    raw = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not piece:
            break
        raw += piece
    os.close(master)
    out = process.communicate()[0].decode()
    assert process.returncode == 0, raw.decode()
    screen = Screen(width, height)
    screen.write(raw.decode())
    return raw.decode(), screen, out


@pytest.mark.parametrize(("width", "n"), [(80, 9), (80, 40), (40, 9)])
def test_a_terminal_shows_a_live_view_that_neither_wraps_nor_outgrows_it(width, n):
    raw, screen, out = on_terminal(width, 24, str(n))
    assert raw.count("\x1b[1A") > 5
    assert "\x1b[32m" in raw
    assert not screen.lost
    assert [line for line in screen.wrapped if line != TASK] == []
    assert f"cells {n}/{n}" in screen.rows[-3]
    assert "a warning of some library" in screen.rows
    assert out == "the table\n"
    assert raw.rfind("\x1b[?25h") > raw.rfind("\x1b[?25l")


def test_hostile_names_show_as_text_and_no_color_leaves_a_live_view_without_colours():
    raw, screen, _ = on_terminal(80, 24, "4", "[red]x[/red]\x1b[2J\r\u202e", "[link=http://x]", NO_COLOR="1")
    assert raw.count("\x1b[1A") > 5
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", raw)
    assert "\x1b[2J" not in raw
    assert any("[red]x[/red]?[2J ?0" in row for row in screen.rows)
    assert any("[link=http://x]1" in row for row in screen.rows)


@pytest.mark.parametrize("environ", [{}, {"FORCE_COLOR": "1"}])
def test_a_pipe_gets_neither_escapes_nor_carriage_returns(environ):
    done = subprocess.run([sys.executable, "-c", FEED, "5"], capture_output=True, env={**QUIET_ENVIRON, **environ}, check=True)
    assert done.stdout == b"the table\n"
    assert b"\x1b" not in done.stderr
    assert b"\r" not in done.stderr
    assert len(done.stderr.splitlines()) == 2 + 5 + 1


def test_the_reading_of_a_large_file_is_told_at_most_every_few_seconds() -> None:
    clock = [0.0]
    stream = io.StringIO()
    listen = PlainProgress(stream, lambda: clock[0])
    for step in range(21):
        clock[0] = step
        listen(Reading("log.txt", step * 5_000_000, 100_000_000))
    assert stream.getvalue().splitlines()[:2] == ["reading log.txt, 25 % of 100 MB", "reading log.txt, 50 % of 100 MB"]
    assert len(stream.getvalue().splitlines()) == 4


def test_an_adapter_in_another_thread_is_heard_and_its_words_go_nowhere_else() -> None:
    heard: list[tuple[str, int, int]] = []
    with forwarded_progress(lambda *far: heard.append(far)):
        thread = threading.Thread(target=reading, args=(Path("folder/log.txt"), 5, 10))
        thread.start()
        thread.join()
    reading(Path("folder/log.txt"), 10, 10)
    assert heard == [("log.txt", 5, 10)]
