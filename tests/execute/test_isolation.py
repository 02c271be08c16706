"""A plugin that misbehaves costs its own job, never another's; and the truth is nowhere that a plugin can look."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from execute.kit import (
    SPACE,
    Done,
    cell_of,
    described,
    drive,
    executor_in,
    homed,
    lives,
    model_text,
    odd,
    steady,
    tiny_split,
    wait_until,
    write_plugin,
)
from execute.zoo import zoo

from bench.execute import describe_plugins as describe
from bench.execute.jobs import Limits, Plugin
from bench.runs.run_events import Event, JobDone
from bench.tasks.base import Split

LIMITS = Limits(3.0, 600.0)
PATIENT = Limits(120.0, LIMITS.memory_mb)
"""For what fills memory: a busy machine may need more than three seconds for it."""
SHARING = "shares-with-children"
OVERSHOOT_MB = 4_000
"""How far a worker may get beyond its limit before it is seen: the watch looks every tenth of a second."""
NAMES = [name for name in zoo("") if name != "hunts"]


@dataclass
class Zoo:
    """Hold what a run of all the plugins left, each followed by a witness in the same slot."""

    done: Done
    folder: Path
    alone: Done
    alone_folder: Path
    alive: dict[str, list[int]]
    """Plugin -> those of its processes that still ran when the witness after it had ended."""
    notes: Path
    split: Split
    scratch: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    base = tmp_path_factory.mktemp("zoo")
    notes = base / "notes"
    notes.mkdir()
    split = tiny_split()
    alive: dict[str, list[int]] = {}

    def listen(event: Event) -> None:
        name = event.dataset.removeprefix("after ") if isinstance(event, JobDone) else ""
        if name and event.model == "steady" and (notes / name).exists():
            alive.setdefault(name, [pid for pid in map(int, (notes / name).read_text().split()) if lives(pid)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(base / "user cache"))
        patch.setenv("XDG_DATA_HOME", str(base / "user data"))
        with executor_in(base / "alone", workers=1) as executor:
            (witness,) = described(executor, [steady(base)])
            alone = drive(executor, base / "run alone", [cell_of(witness, split)])
        with executor_in(base / "scratch", workers=1) as executor:
            paths = [odd(base, name, **each.parts) for name, each in zoo(str(notes)).items()]
            witness, *plugins, hunter = described(executor, [base / "steady.py", *paths])
            assert [p.reason for p in plugins if p.status != "ok"] == []
            expected = zoo(str(notes))
            done = Done({}, {}, [])
            for limits, hungry in ((LIMITS, False), (PATIENT, True)):
                chosen = [p for p in plugins if (expected[p.name].status == "oom" or p.name == SHARING) == hungry]
                cells = [cell for p in chosen for cell in (cell_of(p, split, p.name), cell_of(witness, split, f"after {p.name}"))]
                part = drive(executor, base / "run", cells, limits=limits, listen=listen)
                done = Done({**done.outcomes, **part.outcomes}, part.entries, [*done.events, *part.events])
            # last: all final fits are done, and a plugin has hoarded their labels where others can find them
            drive(executor, base / "hunt", [cell_of(hunter, split)])
        yield Zoo(done, base / "run", alone, base / "run alone", alive, notes, split, base / "scratch")


def results(done: Done, folder: Path, dataset: str) -> dict[str, object]:
    """Give all of a witness's results that a plugin before it could have changed, the predictions' bytes included."""
    outcome = done.outcomes[f"{dataset}/steady"]
    entries = {"valid": outcome.valid, **{f"{t} {s}": e for (t, s), e in outcome.finals.items()}}
    kept = ("status", "reason", "value", "about", "params", "seed", "log_tail")
    return {
        name: (*(e[k] for k in kept), (folder / e["prediction"]).read_bytes() if e["prediction"] else None) for name, e in entries.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_misbehaving_plugin_ends_as_a_row_with_the_right_status_and_one_line_of_reason(ran: Zoo, name: str) -> None:
    entry, expected = ran.done.of(name, name), zoo("")[name]
    assert entry["status"] == expected.status, f"{entry['reason']}\n{entry['log_tail']}"
    assert re.search(expected.reason, entry["reason"]), entry["reason"]
    assert len(entry["reason"].splitlines()) == (0 if expected.status == "ok" else 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_that_runs_after_a_misbehaving_one_has_the_results_of_an_undisturbed_run(ran: Zoo, name: str) -> None:
    assert results(ran.done, ran.folder, f"after {name}") == results(ran.alone, ran.alone_folder, "tiny")


@pytest.mark.parametrize("name", ["sleeps-with-children", "exits-with-children", "leaves-children", "leaves-a-thread"])
def test_nothing_that_a_job_started_runs_beside_the_next_job(ran: Zoo, name: str) -> None:
    assert len((ran.notes / name).read_text().split()) == (1 if name == "leaves-a-thread" else 5)
    assert ran.alive[name] == []


def test_no_process_and_no_folder_is_left_when_the_executor_is_closed(ran: Zoo) -> None:
    assert homed(ran.scratch) == []
    assert not ran.scratch.exists()


def test_a_job_without_end_in_memory_is_stopped_soon_after_its_limit(ran: Zoo) -> None:
    for name in ("allocates", "allocates-in-a-child"):
        peak = ran.done.of(name, name)["peak_memory_mb"]
        assert LIMITS.memory_mb < peak < LIMITS.memory_mb + OVERSHOOT_MB


@pytest.mark.parametrize("name", ["sleeps", "sleeps-with-children"])
def test_the_time_of_a_job_that_was_killed_counts(ran: Zoo, name: str) -> None:
    assert ran.done.of(name, name)["fit_seconds"] >= LIMITS.seconds


def test_the_time_of_a_job_that_failed_counts(ran: Zoo) -> None:
    assert all(entry["fit_seconds"] > 0 for entry in ran.done.entries.values())


def test_what_was_printed_last_is_kept_and_no_more(ran: Zoo) -> None:
    tail = ran.done.of("prints", "prints")["log_tail"]
    assert "err 39999" in tail
    assert "RuntimeError: enough" in tail
    assert "out 0 " not in tail
    assert len(tail) <= 4_000


def test_only_jobs_that_others_killed_or_a_full_disk_broke_are_tried_again_by_the_next_run(ran: Zoo) -> None:
    assert {e["model"] for e in ran.done.entries.values() if e["again"]} == {"is-killed", "fills-the-disk"}


def needles(labels: np.ndarray) -> list[bytes]:
    """Spell labels in every type that they could lie about in."""
    return [labels.astype(kind).tobytes() for kind in ("i1", "f4", "f8", "i4", "i8", "i2")] + [bytes(labels + ord("0"))]


def holds(dump: bytes, labels: np.ndarray) -> bool:
    return any(form in dump for form in (*needles(labels), *needles(1 - labels)))


@pytest.mark.parametrize("stage", ["search", "final"])
def test_a_plugin_that_hunts_for_the_truth_finds_its_training_labels_and_nothing_more(ran: Zoo, stage: str) -> None:
    truth, train = ran.split.truths[stage].y, ran.split.stages[stage].train.y
    dump = (ran.notes / f"hunt-{len(truth)}").read_bytes()
    assert holds(dump, train), "the hunt itself is broken: it must find what it was given"
    assert not holds(dump, truth)
    assert not holds(dump, ran.split.truths["final"].y)


@pytest.mark.parametrize("stage", ["search", "final"])
def test_a_worker_is_told_neither_the_cache_nor_any_folder_of_the_user(ran: Zoo, stage: str) -> None:
    seen = json.loads((ran.notes / f"hunt-{len(ran.split.truths[stage].y)}.json").read_text())
    assert not [name for name in seen["environ"] if name.startswith(("BENCH_", "XDG_DATA"))]
    for text in (*seen["environ"].values(), *seen["argv"]):
        assert "user cache" not in text
        assert "user data" not in text
    slot = ran.scratch / "slot-0"
    assert {n: seen["environ"][n] for n in ("HOME", "TMPDIR", "XDG_CACHE_HOME")} == {
        "HOME": str(slot / "home"), "TMPDIR": str(slot / "tmp"), "XDG_CACHE_HOME": str(slot / "cache"),
    }  # fmt: skip
    assert seen["cwd"] == str(slot / "work")


def test_the_hunt_finds_the_truth_where_it_is_planted(tmp_path: Path) -> None:
    split = tiny_split()
    hunter = odd(tmp_path, "hunts", **zoo(str(tmp_path))["hunts"].parts)
    with executor_in(tmp_path / "scratch") as executor:
        np.save(tmp_path / "scratch" / "forgotten.npy", split.truths["search"].y)
        drive(executor, tmp_path / "run", [cell_of(described(executor, [hunter])[0], split)])
    assert holds((tmp_path / f"hunt-{len(split.truths['search'].y)}").read_bytes(), split.truths["search"].y)


HEAD = (
    "import sys, os, time\nimport numpy as np\nimport bench\nfrom optuna.distributions import CategoricalDistribution, FloatDistribution\n"
)
OFFERS = "\n\n@bench.hookimpl\ndef bench_models():\n    return "

ODD_FILES: dict[str, tuple[str, str, str]] = {
    # first, in a worker of its own: it is then not tried twice
    "sleeps": (HEAD + "time.sleep(86400)", "timeout", "ran longer than 6 s"),
    "raises": (HEAD + 'raise ValueError("no\\ngood")', "failed", r"'raises' .*raises\.py\) fails at import: ValueError: no good$"),
    "leaves": (HEAD + "sys.exit(5)", "failed", "fails at import: SystemExit: 5"),
    "exits": (HEAD + "os._exit(5)", "crash", "the worker ended itself with exit code 5"),
    "lacks": (HEAD + "import torchx.nn", "skipped", r"^needs torchx, which is not installed: pip install torchx$"),
    "syntax": ("def fit(:\n", "failed", "fails at import: SyntaxError"),
    "misspelt": (
        HEAD + "\n\n@bench.hookimpl\ndef bench_model():\n    return []\n",
        "failed",
        "bench_model.*hooks are bench_models, bench_datasets",
    ),
    "hookless": (HEAD, "failed", "implements no hook; add a function bench_models, bench_datasets, bench_tasks or bench_samplers"),
    "no-list": (HEAD + OFFERS + "{}", "failed", "bench_models returned dict, expected a list of classes"),
    "no-class": (HEAD + OFFERS + "[3]", "failed", "bench_models returned 3, which has no name"),
    "hook-raises": (HEAD + OFFERS + "[][0]", "failed", "IndexError"),
    "twice": (model_text() + OFFERS + "[Odd, Odd]", "failed", "offers the name 'twice' twice"),
    "runtime": (model_text(body='runtime = "jax"') + OFFERS + "[Odd]", "failed", "runtime 'jax' is unknown; use none, torch or tensorflow"),
    "outside": (model_text(head=HEAD, body=SPACE + '{"x": 2.0}') + OFFERS + "[Odd]", "failed", r"default\(\) has x=2.0, outside Float"),
    "misses": (model_text(head=HEAD, body=SPACE + "{}") + OFFERS + "[Odd]", "failed", r"default\(\) lacks 'x', which is in space\(\)"),
    "more": (
        model_text(head=HEAD, body=SPACE + '{"x": 1.0, "y": 1}') + OFFERS + "[Odd]",
        "failed",
        r"default\(\) has 'y', which is not in space",
    ),
    "chosen-twice": (
        model_text(head=HEAD, body=SPACE + '{"x": 1.0}\n@staticmethod\ndef choices(task):\n    return {"x": [1]}') + OFFERS + "[Odd]",
        "failed",
        r"choices\('churn'\)\['x'\] is in space\(\) already; name it once",
    ),
    "choiceless": (
        model_text(head=HEAD, body='@staticmethod\ndef choices(task):\n    return {"x": []}') + OFFERS + "[Odd]",
        "failed",
        r"choices\('churn'\)\['x'\] has no choice",
    ),
    "object": (
        model_text(head=HEAD, body=SPACE + '{"x": np.float32(0.5)}') + OFFERS + "[Odd]",
        "failed",
        r"default\(\) must hold numbers, text",
    ),
    "nan": (
        model_text(body='@staticmethod\ndef default():\n    return {"x": float("nan")}') + OFFERS + "[Odd]",
        "failed",
        r"default\(\) must hold",
    ),
    "inf": (
        model_text(
            head=HEAD, body=SPACE.replace("FloatDistribution(0.0, 1.0)", "CategoricalDistribution([1.0, float('inf')])") + '{"x": 1.0}'
        )
        + OFFERS
        + "[Odd]",
        "failed",
        r"space\(\)\['x'\] must hold numbers",
    ),
}


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plugin]:
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{name}.py" for name in ODD_FILES]
    for path in paths:
        path.write_text(ODD_FILES[path.stem][0])
    with pytest.MonkeyPatch.context() as patch, executor_in(folder / "scratch", workers=2) as executor:
        patch.setattr(describe, "SECONDS", 6.0)
        plugins = described(executor, [*paths, steady(folder)])
    return {p.name: p for p in plugins}


@pytest.mark.parametrize("name", ODD_FILES)
def test_a_plugin_that_cannot_be_described_ends_as_status_and_one_line(looked: dict[str, Plugin], name: str) -> None:
    _, status, reason = ODD_FILES[name]
    assert (looked[name].status, len(looked[name].reason.splitlines())) == (status, 1)
    assert re.search(reason, looked[name].reason), looked[name].reason


def test_a_good_plugin_is_described_among_broken_ones(looked: dict[str, Plugin]) -> None:
    good = looked["steady"]
    assert (good.status, good.tasks, good.runtime, good.default) == ("ok", {"churn"}, "none", {"slope": 0.5, "power": 1})
    assert set(good.space) == {"slope", "power"}


def test_a_worker_that_is_killed_while_it_describes_is_replaced(tmp_path: Path) -> None:
    once = tmp_path / "once"
    text = f"import os, signal\nfrom pathlib import Path\nonce = Path({str(once)!r})\n"
    text += "if not once.exists():\n    once.touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    path = write_plugin(tmp_path, "killed", text + model_text(), classes="Odd")
    with executor_in(tmp_path / "scratch") as executor:
        assert [p.status for p in described(executor, [path])] == ["ok"]


def test_a_model_that_asks_is_told_to_stop_while_it_can_still_predict(tmp_path: Path) -> None:
    note = tmp_path / "left"
    fit = (
        f"Path({str(note)!r}).write_text(str(ctx.deadline - time.monotonic()))\nassert dataclasses.replace(ctx, deadline=0.0).should_stop()"
    )
    path = odd(tmp_path, "asks", head="import dataclasses", fit=fit)
    with executor_in(tmp_path / "scratch") as executor:
        (plugin,) = described(executor, [path])
        entry = drive(executor, tmp_path / "run", [cell_of(plugin, tiny_split())], limits=Limits(1000.0, 2048.0)).of("tiny", "asks")
    assert (entry["status"], entry["cut_short"]) == ("ok", True)
    assert float(note.read_text()) < 950, "a tenth of the time is left to predict"


def test_ctrl_c_that_reaches_a_worker_does_not_touch_its_job(tmp_path: Path) -> None:
    path = odd(tmp_path, "struck", head="import os, signal", fit="os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.01)")
    with executor_in(tmp_path / "scratch") as executor:
        (plugin,) = described(executor, [path])
        entry = drive(executor, tmp_path / "run", [cell_of(plugin, tiny_split())]).of("tiny", "struck")
    assert (entry["status"], entry["reason"]) == ("ok", "")


def test_a_worker_that_dies_while_it_waits_costs_nothing(tmp_path: Path) -> None:
    with executor_in(tmp_path / "scratch") as executor:
        (plugin,) = described(executor, [steady(tmp_path)])
        process = executor.slots[0].process
        assert process is not None
        process.kill()
        wait_until(lambda: not lives(process.pid), "the worker is gone")
        assert drive(executor, tmp_path / "run", [cell_of(plugin, tiny_split())]).of("tiny", "steady")["status"] == "ok"
