"""The configurations that a search begins with."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import run_kit
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.execute.task_space import default_of, space_of
from bench.registry import discover, models
from bench.tune import portfolio as portfolios
from bench.tune.portfolio import chosen, portfolio, space_digest, utilities

SPACE = {"rate": "{}"}
LOGS = [
    {"data": "a", "fingerprint": "fa", "gains": [0.0, 0.1, 0.05, None], "errors": [0.0, 0.01, 0.01, None]},
    {"data": "b", "fingerprint": "fb", "gains": [0.0, -0.1, 0.02, 0.04], "errors": [0.0, 0.01, 0.01, 0.01]},
    {"data": "c", "fingerprint": "fc", "gains": [0.0, -0.1, -0.1, 0.3], "errors": [0.0, 0.01, 0.01, 0.01]},
]
PARAMS = [{"rate": n} for n in range(4)]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"churn": {"m": {"space": space_digest(SPACE), "params": PARAMS, "logs": LOGS}}}
    monkeypatch.setattr(portfolios, "_stored_portfolio", lambda: table)


@pytest.mark.usefixtures("known")
def test_the_best_of_most_logs_comes_first_and_then_what_adds_most() -> None:
    assert [p["rate"] for p in portfolio("churn", "m", SPACE, "other")] == [3, 1]


@pytest.mark.usefixtures("known")
def test_nothing_is_known_of_the_log_at_hand() -> None:
    # without c, the last configuration is best on b alone, and the first on a alone
    assert [p["rate"] for p in portfolio("churn", "m", SPACE, "fc")] == [1, 3]
    assert [p["rate"] for p in portfolio("churn", "m", SPACE, "fa")] == [3]


@pytest.mark.usefixtures("known")
def test_another_space_another_task_or_an_unknown_model_has_none() -> None:
    assert portfolio("churn", "m", {"rate": "other"}, "x") == ()
    assert portfolio("anomaly", "m", SPACE, "x") == ()
    assert portfolio("churn", "n", SPACE, "x") == ()


@given(seed=st.integers(0, 10_000), logs=st.integers(1, 6), size=st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_greedy_choices_are_distinct_never_the_default_and_each_raises_the_mean(seed: int, logs: int, size: int) -> None:
    gains = np.random.default_rng(seed).normal(size=(logs, 9))
    gains[:, 0] = 0.0
    table = utilities([{"data": "", "fingerprint": "", "gains": row.tolist(), "errors": []} for row in gains])
    assert table.min() >= 0
    assert table.max() <= 1
    found = chosen(table, size)
    assert len(set(found)) == len(found) <= size
    assert 0 not in found
    means = [table[:, [0, *found[:k]]].max(axis=1).mean() for k in range(len(found) + 1)]
    assert all(later > earlier for earlier, later in itertools.pairwise(means))
    if found:
        assert means[1] == table.mean(axis=0).max()


def shipped() -> list[tuple[str, str, dict[str, Any]]]:
    tasks = json.loads(portfolios.FILE.read_text())
    return [(task, model, own) for task, every in tasks.items() for model, own in every.items()]


@pytest.mark.parametrize(("task", "model", "own"), shipped(), ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_shipped_fits_the_models_of_today(task: str, model: str, own: dict[str, Any]) -> None:
    from optuna.distributions import distribution_to_json

    kind = models(discover().sources["bench.models"][model])[model]
    assert task in kind.tasks
    space = space_of(kind, task)
    made = {name: distribution_to_json(one) for name, one in space.items()}
    assert own["space"] == space_digest(made), "its search space has changed: score it again (tests/benchmarks/bench_portfolio.py)"
    assert own["params"][0] == default_of(kind, task)
    for params in own["params"]:
        assert set(params) == set(space)
        assert all(space[name]._contains(space[name].to_internal_repr(value)) for name, value in params.items())
    assert len({log["fingerprint"] for log in own["logs"]}) == len(own["logs"]) >= 3
    assert all(len(log["gains"]) == len(log["errors"]) == len(own["params"]) for log in own["logs"])
    assert all(log["gains"][0] == 0 for log in own["logs"])


def test_a_search_begins_with_it_unless_told_otherwise(tmp_path: Path) -> None:
    run_kit.purchases(0.01, seed=1).write_csv(tmp_path / "log.csv")
    more = {"datasets": [f"events={tmp_path / 'log.csv'}"], "options": {"horizon": "14d", "cutoffs": 1}, "models": ["rfm-logit"]}
    tried = {}
    for on in (True, False):
        run_kit.run("churn", tmp_path / f"run-{on}", trials=3, portfolio=on, **more)
        trials = pl.read_parquet(tmp_path / f"run-{on}" / "trials.parquet").sort("number")["params"].to_list()
        tried[on] = [json.loads(text) for text in trials]
    first = json.loads(portfolios.FILE.read_text())["churn"]["rfm-logit"]["params"]
    assert tried[True][0] == tried[False][0] == first[0]
    assert tried[True][1] in first[1:]
    assert tried[False][1] not in first[1:]
