"""Ask which model, tuned fairly, foresees churn, forecasts or finds anomalies best on your log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from bench.api import (
        ArrayModel,
        ChurnInputs,
        ChurnTrain,
        Context,
        Dataset,
        DatasetCard,
        Forecast,
        Insight,
        Model,
        Panel,
        Params,
        Sampler,
        hookimpl,
    )
    from bench.board import Board
    from bench.data.events import Events
    from bench.data.ranking import NextInputs, NextTrain, Ranking
    from bench.errors import BenchError
    from bench.metrics.kinds import Metric
    from bench.runs.python import load, predict, run
    from bench.runs.results import RunBoard
    from bench.tasks.base import Scorer, Split, Stage, Task

# name -> module: imported at first use, so that `bench --help` does not wait for numpy or polars
_HOME = {
    **dict.fromkeys(
        (
            "ArrayModel",
            "ChurnInputs",
            "ChurnTrain",
            "Context",
            "Dataset",
            "DatasetCard",
            "Forecast",
            "Insight",
            "Model",
            "Panel",
            "Params",
            "Sampler",
            "hookimpl",
        ),
        "bench.api",
    ),
    "Board": "bench.board",
    "BenchError": "bench.errors",
    "Events": "bench.data.events",
    **dict.fromkeys(("NextInputs", "NextTrain", "Ranking"), "bench.data.ranking"),
    **dict.fromkeys(("Scorer", "Split", "Stage", "Task"), "bench.tasks.base"),
    "Metric": "bench.metrics.kinds",
    "RunBoard": "bench.runs.results",
    **dict.fromkeys(("load", "predict", "run"), "bench.runs.python"),
}

__all__ = [
    "ArrayModel",
    "BenchError",
    "Board",
    "ChurnInputs",
    "ChurnTrain",
    "Context",
    "Dataset",
    "DatasetCard",
    "Events",
    "Forecast",
    "Insight",
    "Metric",
    "Model",
    "NextInputs",
    "NextTrain",
    "Panel",
    "Params",
    "Ranking",
    "RunBoard",
    "Sampler",
    "Scorer",
    "Split",
    "Stage",
    "Task",
    "hookimpl",
    "load",
    "predict",
    "run",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
