"""What a run says of its cost: nothing before anything is known, seconds from earlier runs, and again after the first trials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_kit import purchases

import bench
from bench.runs.cost import Estimate, after_first_trials, before, costs_file, earlier
from bench.runs.run_events import Notice, RunReady


def told(out: Path, **more: object) -> list[str]:
    heard: list[str] = []

    def listen(event: object) -> None:
        if isinstance(event, RunReady):
            heard.extend(event.words)
        elif isinstance(event, Notice):
            heard.append(event.words)

    log = purchases(0.006, seed=1)
    usual = {"models": "recency,rfm-logit", "horizon": "14d", "profile": "smoke", "workers": 1, "trials": 3, "sandbox": "off"}
    bench.run("churn", log, **{**usual, **more}, out=out, listen=listen)
    return heard


def test_the_first_run_says_that_nothing_is_known_the_next_one_what_it_will_take(tmp_path: Path) -> None:
    assert told(tmp_path / "a")[0].startswith("how long it takes is not known here yet")
    figures = earlier()
    assert sorted(key.split("/")[-2] for key in figures) == ["recency", "rfm-logit"]
    assert all(figure["seconds"] > 0 and figure["size"] > 1000 for figure in figures.values())
    words = told(tmp_path / "b", models="recency,rfm-logit,frequency", time_limit=600)
    assert words[0].startswith("time limit 10 min")
    assert words[1].startswith("will take about 1 s, by earlier runs on this machine, and what frequency need")


def test_a_slow_model_of_an_earlier_run_is_counted_by_fits_workers_and_data(tmp_path: Path) -> None:
    told(tmp_path / "a")
    slow = {key: {**figure, "seconds": 60.0} for key, figure in earlier().items()}
    costs_file().write_text(json.dumps(slow))
    # recency has no space: a validation for each of 2, and 1 final; rfm-logit: 8 fits, and 1 to 3 finals; 60 s each
    assert told(tmp_path / "b", trials=8, seeds=1, workers=1)[0] == "will take about 12 to 14 min, by earlier runs on this machine"
    assert Estimate(120.0, 240.0).wall(2) == (60.0, 120.0)


def test_figures_that_cannot_be_read_or_kept_only_cost_the_estimate(tmp_path: Path) -> None:
    costs_file().parent.mkdir(parents=True, exist_ok=True)
    costs_file().write_text("{]")
    assert earlier() == {}
    costs_file().unlink()
    costs_file().mkdir()
    assert any("is not kept for the next one's estimate" in words for words in told(tmp_path / "a"))


@pytest.mark.parametrize(
    ("low", "high", "unknown", "words"),
    [
        (30.0, 50.0, (), "will take about 15 to 25 s, by earlier runs on this machine"),
        (600.0, 620.0, (), "will take about 5 min, by earlier runs on this machine"),
        (
            7200.0,
            21600.0,
            ("a", "b", "c", "d", "e"),
            "will take about 1.0 to 3.0 h, by earlier runs on this machine, and what a, b, c, d and",
        ),
        (0.0, 0.0, ("a",), "how long it takes is not known here yet"),
        (0.0, 0.0, (), "nothing is left to fit"),
    ],
)
def test_the_words_name_the_unit_that_fits_and_what_is_not_known(low: float, high: float, unknown: tuple[str, ...], words: str) -> None:
    assert before(Estimate(low, high, unknown, 3), 2).startswith(words)


def test_after_the_first_trials_what_is_to_come_is_said_where_it_is_worth_a_line() -> None:
    assert after_first_trials(Estimate(400.0, 800.0), 2) == "by the first trial of each model: about 3 to 7 min to come"
    assert after_first_trials(Estimate(10.0, 80.0), 2) == ""
