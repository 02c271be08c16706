"""What ranks and steers can be chosen among a task's proper metrics; the choice stands in the task id, nowhere else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import run_kit
from tasks import test_anomaly, test_next_event
from tasks.forecast_kit import forecast_of, log, noise, series
from tasks.forecast_kit import split as forecast_split

from bench.board.metrics import ranking_metric, ranking_of, second_metric
from bench.data.events import Events
from bench.errors import ConfigError
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import ModelResult, Split, Task
from bench.tasks.churn.task import Churn
from bench.tasks.forecasting.task import Forecasting
from bench.tasks.lookup import NAMES, task_named
from bench.tasks.next_event.task import NextEvent
from bench.tasks.profiles import profile


def churn(**options: str) -> Split:
    events = Events.build(run_kit.purchases(0.006, seed=1), name="log", activity=("purchase",))
    (split,) = Churn().splits(events, {"horizon": "14d", **options}, profile("smoke"), 0, simulated=False)
    return split


def of_churn(split: Split, stage: str) -> list[dict[str, Any]]:
    recency = split.stages[stage].parts[0].column("recency")
    return [{"prediction": np.clip(recency / 20, 0.01, 0.99)}]


def of_anomaly(split: Split, stage: str) -> list[dict[str, Any]]:
    parts = [{"prediction": np.abs(np.nan_to_num(part.values))} for part in split.stages[stage].parts]
    return list(Anomaly().finished(split, stage, parts, causal=True).prediction)


def forecasts(**options: str) -> Split:
    return forecast_split(series(noise(9, 90)), horizon=7, **options)


CASES = {
    "log_loss": (Churn(), churn, of_churn),
    "brier": (Churn(), churn, of_churn),
    "ap_churn": (Churn(), churn, of_churn),
    "sql": (Forecasting(), forecasts, forecast_of),
    "rmsse": (Forecasting(), forecasts, forecast_of),
    "mrr_10": (NextEvent(), test_next_event.split_of, test_next_event.answer),
    "vus_roc": (Anomaly(), lambda **options: test_anomaly.split_of(test_anomaly.series(), options), of_anomaly),
    "auc_pr": (Anomaly(), lambda **options: test_anomaly.split_of(test_anomaly.series(), options), of_anomaly),
}


@pytest.mark.parametrize("metric", CASES)
def test_the_chosen_metric_steers_ranks_and_stands_in_the_task_id(metric: str) -> None:
    task, make, answer = CASES[metric]
    usual, split = make(), make(metric=metric)
    assert split.task_id.replace(f"/rank={metric}", "") == usual.task_id
    assert f"/rank={metric}" in split.task_id
    assert {name: stage.digest for name, stage in split.stages.items()} == {name: stage.digest for name, stage in usual.stages.items()}
    row = {"task": task.name, "task_id": split.task_id, "level": split.columns.get("level")}
    assert ranking_metric(row) == (metric, task.metrics[metric].higher_is_better) == (split.ranking.metric, split.ranking.higher)
    assert second_metric(row).name == usual.ranking.metric == split.ranking.second
    assert ranking_of(row).reference == split.ranking.reference
    found = task.objectives(split, "search", answer(split, "search"))
    before = task.objectives(usual, "search", answer(usual, "search"))
    assert list(found) == list(before)
    assert next(iter(found.values()))[0].value != next(iter(before.values()))[0].value


def test_what_steers_churn_is_the_log_loss_that_the_definition_gives() -> None:
    split = churn(metric="log_loss")
    p, y = of_churn(split, "search")[0]["prediction"], split.truths["search"].y
    (found,) = Churn().objectives(split, "search", [{"prediction": p}])["tuned"]
    assert found.value == pytest.approx(-np.mean(np.where(y == 1, np.log(p), np.log(1 - p))), rel=1e-12)
    assert split.ranking.penalty > 16.2, "a failed trial is told as worse than the worst log-loss there is"


@pytest.mark.parametrize("given", ["AUC", "roc_auc", None])
def test_the_tasks_own_choice_changes_nothing_however_it_is_spelt(given: str | None) -> None:
    assert churn(**({"metric": given} if given else {})).task_id == churn().task_id


@pytest.mark.parametrize(
    ("given", "words"),
    [("ece", "calibration error ranks nothing here"), ("los_loss", "did you mean 'log_loss'"), ("mase", "mase ranks nothing here")],
)
def test_what_could_be_had_for_nothing_or_is_of_another_task_is_refused(given: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        churn(metric=given)


def sparse_users(**options: str) -> Split:
    rng = np.random.default_rng(0)
    day = np.r_[0, np.sort(rng.integers(0, 100, 600)), 99]
    return forecast_split(log(user := rng.integers(0, 30, len(day)), day, user), level="user", **options)


def test_sparse_series_cannot_be_ranked_by_what_zeros_would_win() -> None:
    with pytest.raises(ConfigError, match="MASE ranks nothing here"):
        sparse_users(metric="mase")
    assert "/rank=" not in sparse_users(metric="wql").task_id
    split = sparse_users(metric="sql")
    assert split.task_id.endswith("/rank=sql")
    assert split.ranking.reference == "climatology"


def test_every_task_offers_its_own_choice_first_and_only_metrics_that_it_has() -> None:
    for name in NAMES:
        task: type[Task] = task_named(name)
        assert set(task.proper) == set(task.rankings)
        for level, offered in task.proper.items():
            assert offered[0] == task.rankings[level].metric
            assert set(offered) <= set(task.metrics)


@pytest.mark.parametrize("metric", ["sql", "wql", "rmsse", "mase"])
def test_every_board_of_forecasts_is_drawn_whatever_ranks_it(metric: str) -> None:
    split = forecasts(metric=metric)
    shown = [ModelResult("one", "default", None, {}, forecast_of(split))]
    assert json.loads(json.dumps(Forecasting().figures(split, shown, "one")))
    assert Forecasting().details(split, shown)
