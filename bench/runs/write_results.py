"""What a finished run leaves in its folder: the leaderboard, and tables beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from bench.runs.ensemble import Blend, blended
from bench.runs.feature_importance import Occlusion, measure_importances, models_to_probe
from bench.runs.insights import measure_insights
from bench.runs.offline_rows import offline_rows
from bench.runs.problem import Problem
from bench.runs.run_figures import run_figures
from bench.runs.score_rows import details, model_results, now, prediction_rows, rows_of
from bench.runs.search_rows import choice_rows, trial_rows
from bench.tasks.base import ModelResult, Task
from bench.tune.plan import Outcome
from bench.version import VERSION

if TYPE_CHECKING:
    from bench.board import Board

TABLES = ("trials", "choices", "details", "predictions", "members", "intervals")


def write_results(
    folder: Path, problems: Sequence[Problem], outcomes: Mapping[str, Outcome], task: Task, common: Mapping[str, Any], occlusion: Occlusion
) -> Board:
    """Score everything once and write `leaderboard.parquet`, `TABLES` and `figures.json`.

    `common`: columns of all rows; `occlusion`: asks the saved fits what they look at.
    """
    from bench.board import Board
    from bench.board.families import flag_trivial
    from bench.board.schema import write_rows

    common = {**common, "bench_version": VERSION, "created": now()}
    rows: list[dict[str, Any]] = []
    tables: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
    drawn: list[tuple[Problem, list[ModelResult]]] = []
    for problem in problems:
        own = problem.outcomes(outcomes)
        blends = [*blended(problem, own, task, folder), *offline_rows(problem, own, task, folder)]
        rows += rows_of(problem, own, task, folder, common, blends)
        drawn.append((problem, model_results(own, folder, blends)))
        for name, table in _tables(problem, own, task, drawn[-1][1], folder, blends).items():
            tables[name].append(table)
    board = Board.build(flag_trivial(rows), folder)
    write_rows(folder / "leaderboard.parquet", board.rows)
    for name, found in tables.items():
        _write_table(folder / f"{name}.parquet", pl.concat(found, how="diagonal_relaxed") if found else pl.DataFrame())
    _write_figures(folder / "figures.json", board, drawn, outcomes, task, occlusion)
    return board


def _tables(
    problem: Problem, outcomes: Mapping[str, Outcome], task: Task, found: Sequence[ModelResult], folder: Path, blends: Sequence[Blend]
) -> dict[str, pl.DataFrame]:
    made: dict[str, Any] = {
        "trials": trial_rows(problem, outcomes),
        "choices": choice_rows(problem, outcomes, folder),
        "details": details(problem, task, found),
        "predictions": prediction_rows(problem, outcomes, folder, blends),
        "members": dict(problem.split.members),
        "intervals": task.intervals(problem.split, found),
    }
    board = {"task_id": pl.lit(problem.split.task_id), "dataset": pl.lit(problem.dataset)}
    frames = {name: pl.DataFrame(rows, infer_schema_length=None) for name, rows in made.items()}
    return {name: frame.with_columns(**board) if len(frame) else frame for name, frame in frames.items()}


def _write_figures(
    path: Path,
    board: Board,
    drawn: Sequence[tuple[Problem, list[ModelResult]]],
    outcomes: Mapping[str, Outcome],
    task: Task,
    occlusion: Occlusion,
) -> None:
    """Write what a report draws, one item a board; what it shows of the data is a tail of few series."""
    from bench.board.ranking import leading
    from bench.board.view import listed

    known = _earlier_answers(path)
    figures = []
    for problem, found in drawn:
        own = [r for r in board.rows if (r["task_id"], r["dataset"]) == (problem.split.task_id, problem.dataset) and r["status"] == "ok"]
        leader = (leading(own) or {"model": ""})["model"]
        if figure := task.figures(problem.split, found, leader):
            at = {"task_id": problem.split.task_id, "dataset": problem.dataset}
            if figure["kind"] == "churn":
                chosen = models_to_probe([row["model"] for row in listed(own)], found, problem.split.ranking.reference)
                before = known.get((at["task_id"], at["dataset"]), {})
                figure["looks_at"] = measure_importances(occlusion, problem, chosen, task, path.parent, before.get("looks_at", {}))
                figure["insights"] = measure_insights(occlusion, problem, found, path.parent, before.get("insights", {}))
            figures.append({**at, **figure})
        figures += run_figures(problem, outcomes)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(figures, allow_nan=False))
    partial.replace(path)


def _earlier_answers(path: Path) -> dict[tuple[str, str], Any]:
    """Read what an earlier end of the same run has found by asking; nothing where there is none or it is damaged: it is asked anew."""
    try:
        found = json.loads(path.read_text())
        return {(f["task_id"], f["dataset"]): f for f in found if f["kind"] == "churn"}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_table(path: Path, table: pl.DataFrame) -> None:
    partial = path.with_suffix(".part")
    table.write_parquet(partial)
    partial.replace(path)
