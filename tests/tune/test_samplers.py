"""Who proposes trials can be chosen, and brought by a plugin; what it proposes is checked, and the same run asks the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from run_kit import purchases
from tune.test_search import DEFAULT, SPACE, finished

import bench
from bench.cli import complete
from bench.errors import ConfigError, PluginError
from bench.registry import discover
from bench.tune import search
from bench_plugins.samplers import Random, Sobol

CENTRE = """
from typing import ClassVar

import bench
from bench.tune.search import at


class Centre:
    name = "centre"

    def ask(self, space, finished, n, *, seed, higher):
        assert higher is False
        return [{name: at(kind, 0.5) for name, kind in space.items()}] * n


@bench.hookimpl
def bench_samplers():
    return [Centre]
"""


def asked(sampler: bench.Sampler | None, batch: int, seed: int = 1, size: int = 4) -> list[dict[str, object]]:
    return search.ask(SPACE, DEFAULT, finished(4 * batch), batch, seed=seed, size=size, sampler=sampler)


@pytest.mark.parametrize("sampler", [Random(), Sobol()], ids=lambda s: s.name)
def test_a_sampler_stays_inside_the_space_and_asks_the_same_again_and_for_less(sampler: bench.Sampler) -> None:
    found = [trial for batch in (1, 2, 3, 4) for trial in asked(sampler, batch)]
    assert all(1e-4 <= t["rate"] <= 1e-1 and t["depth"] in range(1, 10) and t["kind"] in {"a", "b"} for t in found)
    assert len({str(t) for t in found}) == len(found)
    assert asked(sampler, 2) == asked(sampler, 2)
    assert asked(sampler, 2, size=2) == asked(sampler, 2)[:2]
    assert asked(sampler, 0) == asked(None, 0), "the first batch is the same for all"
    assert asked(sampler, 2) != asked(None, 2)


def test_sobols_batches_are_one_sequence_that_leaves_no_gap() -> None:
    rates = sorted(np.log10(t["rate"]) for batch in range(1, 5) for t in asked(Sobol(), batch))  # type: ignore[arg-type]
    assert max(np.diff([-4, *rates, -1])) < 3 * 3 / 16, "16 points over three decades"


class Odd:
    name: ClassVar[str] = "odd"

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def ask(self, space: object, finished: object, n: int, *, seed: int, higher: bool) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


GOOD = {"rate": 1e-2, "depth": 4, "kind": "b"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (KeyError("x"), "sampler 'odd' fails: KeyError: 'x'"),
        ([GOOD] * 3, "gave 3 trials, 4 were asked for"),
        ([{"rate": 1e-2}] * 4, "gave parameters rate, the space has depth, kind, rate"),
        ([{**GOOD, "depth": 10}] * 4, "gave depth=10, which lies outside IntDistribution"),
        ([{**GOOD, "kind": "c"}] * 4, "gave kind='c', which lies outside"),
        ([{**GOOD, "rate": "small"}] * 4, "gave rate='small', which lies outside"),
    ],
)
def test_what_a_sampler_gets_wrong_is_said_with_its_name(answer: object, words: str) -> None:
    with pytest.raises(PluginError, match=re.escape(words)):
        asked(Odd(answer), 1)  # type: ignore[arg-type]


def test_a_sampler_from_a_file_proposes_the_trials_of_a_run_ranked_by_log_loss(tmp_path: Path) -> None:
    (tmp_path / "centre.py").write_text(CENTRE)
    board = bench.run(
        "churn", purchases(0.006, seed=1), models="rfm-logit", horizon="14d", profile="smoke", trials=10, workers=1,
        metric="log-loss", sampler="centre", plugins=tmp_path / "centre.py", out=tmp_path / "run",
    )  # fmt: skip
    trials = pl.read_parquet(tmp_path / "run" / "trials.parquet").sort("number")
    later = trials.filter(pl.col("number") >= 4)["params"].unique().to_list()
    assert len(later) == 1
    rows = [row for row in board.rows if row["model"] == "rfm-logit"]
    assert {row["objective"] for row in rows} == {"log_loss"}
    assert all(row["task_id"].endswith("/rank=log_loss") for row in rows)
    assert board.best()["log_loss"] == min(row["log_loss"] for row in board.rows if row["status"] == "ok" and row["tuning"] == "tuned")
    assert "log-loss" in board.table()
    assert bench.predict(board, purchases(0.006, seed=2)).height > 0


def test_an_unknown_sampler_is_named_with_the_likely_one() -> None:
    with pytest.raises(ConfigError, match="unknown sampler 'randm'; did you mean 'random'"):
        discover().sampler("randm")
    assert complete.samplers("so") == ["sobol"]
    assert complete.metrics("log") == ["log_loss"]
