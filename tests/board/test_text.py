import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.board.ranking import rank
from bench.board.text import render, show

LONG = "a-model-whose-author-was-fond-of-long-and-descriptive-names-"
HOSTILE = ["[red]x[/red]", "[/]", "\x1b[2J", "a\rb", "a\nb", ":smile:", "<script>", "[link=http://x]y[/link]"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def rows(row):
    measured = {
        "search_seconds": 300.0,
        "fit_seconds": 20.0,
        "predict_seconds": 2.0,
        "log_loss": 0.512,
        "roc_auc_low": 0.771,
        "roc_auc_high": 0.792,
    }
    return rank(
        [
            row("vae", 0.752, (0.03, 0.02, 0.04), skill=-0.041, skill_low=-0.055, skill_high=-0.028, **measured),
            row("lstm", 0.782, (0, 0, 0), skill=0.001, skill_low=-0.004, skill_high=0.006, **measured),
            row("lstm", 0.700, (0.08, 0.07, 0.09), skill=-0.08, tuning="default", **measured),
            row("rfm-logit", 0.781, (0.001, -0.004, 0.006), skill=0.0, skill_low=0.0, skill_high=0.0, **measured),
            row("base-rate", 0.5, (0.28, 0.27, 0.29), skill=-0.281, tuning="default", trials=0, **measured),
            row("gru", None, status="oom", reason="4.1 GB used, limit 4.0; try --job-memory 6", search_seconds=69.0),
        ]
    )


def on_terminal(rows, width=80, **more):
    file = Terminal()
    show(rows, Console(file=file, width=width, height=24, force_terminal=True, color_system=None, _environ={}), **more)
    return file.getvalue()


def piped(rows, **environ):
    file = io.StringIO()
    show(rows, Console(file=file, _environ={"TERM": "xterm", **environ}))
    return file.getvalue()


def test_the_piped_table_is_plain_lines(rows):
    assert (
        piped(rows)
        == """\
retail-sim (simulated)  churn/v1/h=28d
5,000 test users, base rate 62 %, horizon 28 days
rank  tied  model            skill  95 % interval   test AUC  95 % interval  log-loss  seconds  note
1     yes   lstm             +.001  -.004 to +.006      .782  .771 to .792       .512      322  tuned
2     yes   rfm-logit         .000  reference           .781  .771 to .792       .512      322  tuned
3     no    vae              -.041  -.055 to -.028      .752  .771 to .792       .512      322  tuned
4     no    base-rate        -.281  -                   .500  .771 to .792       .512       22  default
-     -     gru        failed: oom  -                      -  -                     -       69  tuned; \
4.1 GB used, limit 4.0; try --job-memory 6
rank: by test AUC (higher is better); tied: cannot be told apart from the leader; \
skill: difference to rfm-logit in test AUC (higher is better); log-loss (lower is better); \
intervals: 95 %, paired, resampled over users; seconds: search (a default needs none), fit and predict
lstm leads; statistically tied with rfm-logit (+.001, -.004 to +.006)
take lstm: it leads, and nothing that is tied with it is cheaper (322 s)
"""
    )


def test_the_table_on_a_terminal_fits_80_columns(rows):
    text = on_terminal(rows)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert (
        text
        == """\
retail-sim (simulated)  churn/v1/h=28d
5,000 test users, base rate 62 %, horizon 28 days
                          95 %           test 95 %         log-
rank tied model     skill interval        AUC interval     loss seconds note
1    yes  lstm      +.001 -.004 to +.006 .782 .771 to .792 .512     322 tuned
2    yes  rfm-logit  .000 reference      .781 .771 to .792 .512     322 tuned
3    no   vae       -.041 -.055 to -.028 .752 .771 to .792 .512     322 tuned
4    no   base-rate -.281 -              .500 .771 to .792 .512      22 default
-    -    gru       failed: oom                                      69
     tuned; 4.1 GB used, limit 4.0; try --job-memory 6
rank: by test AUC (higher is better); tied: cannot be told apart from the
leader; skill: difference to rfm-logit in test AUC (higher is better); log-loss
(lower is better); intervals: 95 %, paired, resampled over users; seconds:
search (a default needs none), fit and predict
lstm leads; statistically tied with rfm-logit (+.001, -.004 to +.006)
take lstm: it leads, and nothing that is tied with it is cheaper (322 s)
"""
    )


def test_a_narrow_terminal_gives_up_columns_and_says_which(rows):
    text = on_terminal(rows, 40)
    assert max(map(cell_len, text.splitlines())) <= 40
    assert "left out at this width: log-loss" in " ".join(text.split())
    assert ".782" in text


def test_a_wide_terminal_leaves_more_room_between_columns(rows):
    assert "1     yes   lstm  " in on_terminal(rows, 150)


@pytest.mark.parametrize("width", [None, 40, 80, 100, 200])
@pytest.mark.parametrize("failed", [False, True])
def test_a_name_of_60_characters_is_never_cut(row, rows, width, failed):
    assert len(LONG) == 60
    text = render(rank([*rows, row(LONG, None if failed else 0.6, status="crash" if failed else "ok")]), width=width)
    assert LONG in text
    if width is None or width >= 80:
        assert max(map(cell_len, text.splitlines())) <= (width or 999)


def test_a_long_task_id_is_kept_whole_on_its_own_line(rows):
    task_id = "churn/v1/h=28d/elig=h/split=time/cutoffs=3/kinds=purchase/rows=20000/history=32"
    text = render([r | {"task_id": task_id} for r in rows], width=60)
    assert task_id in text.splitlines()


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}, {"CI": "1"}])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_pipe_gets_no_escape_and_no_carriage_return_whatever_the_name(row, rows, name, environ):
    text = piped(rank([*rows, row(name, 0.6), row(f"{name}2", None, reason=name * 2)]), **environ)
    assert not set("\x1b\r") & set(text)
    assert len(text.splitlines()) == 13
    if name.isprintable():
        assert f"{name} " in text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_on_a_terminal_is_text_and_not_markup(row, rows, name):
    text = on_terminal(rank([*rows, row(name, 0.6, dataset=name, reason=name)]))
    assert "\x1b[2J" not in text
    assert "\r" not in text
    if name.isprintable():
        assert name in text


def test_colour_is_only_decoration(rows):
    file = Terminal()
    show(rows, Console(file=file, width=80, force_terminal=True, color_system="standard", _environ={"TERM": "xterm"}))
    assert "\x1b[" in file.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()) == on_terminal(rows)


def test_forced_colour_in_a_pipe_keeps_the_plain_layout(rows):
    file = io.StringIO()
    show(rows, Console(file=file, force_terminal=True, color_system="standard", _environ={"TERM": "xterm"}))
    assert re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()) == piped(rows)


@pytest.mark.parametrize(
    ("status", "word"),
    [("failed", "failed: error"), ("timeout", "failed: timeout"), ("oom", "failed: oom"), ("crash", "failed: crash"),
     ("invalid", "failed: invalid"), ("skipped", "skipped")],
)  # fmt: skip
@pytest.mark.parametrize("width", [None, 80])
def test_a_failure_is_a_word_and_a_cause(row, rows, status, word, width):
    text = render(rank([*rows, row("bad", None, status=status, reason="the cause")]), width=width)
    assert word in text
    assert "the cause" in text
    assert "nan" not in text
    assert "None" not in text


def test_default_rows_stand_beside_tuned_ones_only_when_asked_for(rows):
    assert render(rows).count("lstm  ") == 1
    assert render(rows, all_rows=True).count("lstm  ") == 2


def test_a_model_with_nothing_but_unranked_defaults_is_still_listed(row, rows):
    assert "unfinished" in render(rank([*rows, row("unfinished", 0.6, tuning="default", trials=4)]))


def test_equal_failures_of_a_model_are_one_line_and_different_ones_are_two(row):
    same = [row("bad", None, reason="x", seed=s) for s in range(3)]
    assert render(rank(same)).count("failed: error") == 1
    both = render(rank([*same, row("bad", None, status="oom")]))
    assert (both.count("failed: error"), both.count("failed: oom")) == (1, 1)


def test_a_failed_seed_is_listed_beside_the_median_of_the_others(row):
    text = render(rank([row("a", 0.7, seed=0), row("a", 0.8, seed=1), row("a", None, status="crash", seed=2)]))
    assert "median of 2 seeds" in text
    assert "failed: crash" in text


def test_an_underpowered_board_says_so_above_and_below(row):
    text = render(rank([row("a", 0.7, flags=["underpowered", "clipped"], n_test=150, base_rate=0.2)]))
    assert "underpowered: nothing is ranked" in text.splitlines()[1]
    assert "tuned, clipped" in text
    assert text.splitlines()[-1].startswith("underpowered, nothing is ranked: 150 test users")


def test_each_data_set_has_a_table_of_its_own(row, rows):
    text = render(rank([*rows, row("solo", 0.7, dataset="cdnow-master", simulated=False)]))
    assert "\n\ncdnow-master  churn/v1/h=28d\n" in text


def test_a_task_without_log_loss_has_no_such_column(row):
    text = render(rank([row("ets", None, status="ok", task="forecasting", level="total", mase=0.812)]), width=80)
    assert "MASE (lower is better)" in " ".join(text.split())
    assert ".812" in text
    assert "log-loss" not in text


def test_no_rows_print_nothing():
    assert render([]) == ""
