"""Read what an export needs of a finished run: its rows, its trials and what was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from bench.board import Board
from bench.board.metrics import metrics_of, ranking_metric
from bench.board.ranking import boards, label
from bench.board.schema import Row, metric_columns
from bench.errors import ConfigError, RunFolderError
from bench.runs.saved_models import run_document

SECONDS = ("search_seconds", "fit_seconds", "predict_seconds")
MEASURED = (
    "skill", "skill_low", "skill_high", "behind", "behind_low", "behind_high", "valid_score", *SECONDS, "peak_memory_mb", "n_test",
)  # fmt: skip
"""Numbers of every row, beside the metrics of its task."""


@dataclass(frozen=True)
class Search:
    """The trials of one model on one board, in order."""

    model: str
    rows: Sequence[Row]
    """The rows of the board that the model stands in."""
    trials: Sequence[Mapping[str, Any]]
    higher: bool
    """Whether a higher validation score is better."""

    def best(self) -> Iterator[tuple[int, float]]:
        """Yield (trial, best validation score so far) for each trial that has a score."""
        found: float | None = None
        for trial in self.trials:
            value = trial["value"]
            if value is None:
                continue
            found = value if found is None else max(found, value) if self.higher else min(found, value)
            yield trial["number"], found


@dataclass(frozen=True)
class BoardRecords:
    """One board of a run."""

    name: str
    """The data set, and the family of anomalies."""
    task_id: str
    rows: Sequence[Row]
    searches: Sequence[Search]


@dataclass(frozen=True)
class Records:
    """A finished run."""

    folder: Path
    document: Mapping[str, Any]
    board: Board

    @cached_property
    def boards(self) -> list[BoardRecords]:
        """Return the boards, in the order of the leaderboard."""
        trials = read_trials(self.folder)
        return [_board([self.board.rows[at] for at in members], trials) for members in boards(self.board.rows).values()]


def read_records(folder: Path) -> Records:
    """Read a finished run; raise `RunFolderError` where there is none."""
    return Records(folder, run_document(folder), Board.read(folder))


def read_trials(folder: Path) -> list[dict[str, Any]]:
    """Read the trials of all searches; raise `RunFolderError` where they are damaged or missing."""
    try:
        return pl.read_parquet(folder / "trials.parquet").to_dicts()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunFolderError(f"{folder}/trials.parquet: {error}; give the run's command again to write it anew") from error


def numbers(row: Row) -> dict[str, float]:
    """Return all that was measured of a row, by column: metrics with the ends of their intervals, skill, seconds, memory."""
    names = [*metric_columns(metrics_of(row["task"])), *MEASURED]
    return {name: float(row[name]) for name in names if row.get(name) is not None}


def flat(params: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return parameters without nesting, for tools that take single values: `mean_of.0.lr`."""
    found: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
        elif isinstance(value, list):
            found |= flat({str(at): one for at, one in enumerate(value)}, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def missing(library: str, install: str) -> ConfigError:
    """Return the error for a tool that is not installed."""
    return ConfigError(f"{library} is not installed; pip install {install}")


def _board(rows: Sequence[Row], trials: Sequence[Mapping[str, Any]]) -> BoardRecords:
    one = rows[0]
    own = [t for t in trials if (t["task_id"], t["dataset"]) == (one["task_id"], one["dataset"])]
    higher = ranking_metric(one)[1]
    searches = [
        Search(model, [row for row in rows if row["model"] == model], found, higher)
        for model in dict.fromkeys(row["model"] for row in rows)
        if (found := sorted(_read(own, model), key=lambda trial: trial["number"]))
    ]
    return BoardRecords(label(one), one["task_id"], rows, searches)


def _read(trials: Sequence[Mapping[str, Any]], model: str) -> list[dict[str, Any]]:
    return [{**trial, "params": json.loads(trial["params"])} for trial in trials if trial["model"] == model]
