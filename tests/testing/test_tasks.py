"""The checks of a task: the shipped tasks keep them, and a task that breaks one is found by that one."""

from __future__ import annotations

from typing import ClassVar

from bench.registry import discover, models
from bench.testing import TaskTests

REGISTRY = discover()


def shipped(name: str):
    return models(REGISTRY.sources["bench.models"][name])[name]


class TestChurn(TaskTests):
    task = type(REGISTRY.task("churn"))
    model = shipped("rfm-logit")
    options: ClassVar = {"horizon": "28d"}
    not_repeatable: ClassVar = {"ece": "its bins are those of the full data"}


class TestForecasting(TaskTests):
    task = type(REGISTRY.task("forecasting"))
    model = shipped("seasonal-naive")
    options: ClassVar = {"level": "kind"}


class TestAnomaly(TaskTests):
    task = type(REGISTRY.task("anomaly"))
    model = shipped("abs-median")
    not_repeatable: ClassVar = dict.fromkeys(("vus_pr", "vus_roc"), "its thresholds are those of the full data")


class TestNextEvent(TaskTests):
    task = type(REGISTRY.task("next-event"))
    model = shipped("popular")
    options: ClassVar = {"horizon": "14d"}
