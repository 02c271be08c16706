"""Score again, with the data at hand, the validation predictions of what each search chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.data.ragged import Array
from bench.publish import untrusted
from bench.publish.rescore import RescoredBoard
from bench.publish.searches import Searches, cell_of
from bench.publish.store import PlaceError
from bench.runs.check_prediction import score_validation
from bench.tasks.base import SECOND, TUNED, Finished

CLOSE = 2e-7
"""Relative to 1 or the number itself: scores under resamples are stored to seven digits."""
TOLERANCE = 1e-9


def validated(board: RescoredBoard, searches: Searches) -> tuple[list[str], list[str]]:
    """State for each row of a board what does not agree with the validation predictions behind it (empty: all), and what is not checked."""
    told: dict[tuple[str, str], str] = {}
    unchecked: list[str] = []
    for row in board.rows:
        choices = searches.choices.get(cell_of(row), {})
        tuning = row["tuning"] if row["tuning"] in choices else "default"
        if row["status"] != "ok" or tuning not in choices or (row["model"], tuning) in told:
            continue
        where = f"{row['model']} ({tuning}) on {row['dataset']}"
        # a row that labels tuned is of what either half chose
        for choice in [choices[tuning], *([choices[SECOND]] if tuning == TUNED and SECOND in choices else [])]:
            lacking = len(choice["files"]) != choice["validations"]
            wrong = _wrong(board, choice) if not lacking or choice["validations"] > len(board.split.validations) else ""
            told[row["model"], tuning] = told.get((row["model"], tuning)) or wrong
            unchecked += [f"{where}: its validation score is claimed: no prediction was kept"] * lacking
    return [told.get((row["model"], row["tuning"]), told.get((row["model"], "default"), "")) for row in board.rows], unchecked


def _wrong(board: RescoredBoard, choice: Mapping[str, Any]) -> str:
    """Score the predictions of one choice and compare: every validation, and the mean under resamples."""
    if choice["status"] != "ok":
        return ""
    if choice["validations"] > len(board.split.validations):
        return f"its search is said to have met {choice['validations']} validations, the data give {len(board.split.validations)}"
    scores: dict[str, list[float]] = {}
    drawn: dict[str, list[tuple[int, Sequence[float]]]] = {}
    for stage in (name for name in board.split.validations if name in choice["files"]):
        what = board.published.path(choice["files"][stage])
        try:
            content = board.published.file(choice["files"][stage])
            prediction = untrusted.prediction(content, what, untrusted.max_bytes(board.split, stage))
            found = score_validation(board.task, board.split, stage, Finished(prediction))
        except PlaceError as error:
            return str(error)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
            return f"{what}: does not fit the data ({type(error).__name__}: {error})"
        for tuning, values in found.scores.items():
            scores.setdefault(tuning, []).extend(values)
            drawn.setdefault(tuning, []).append((len(values), found.replicates[tuning]))
    mean = {tuning: np.average([r for _, r in each], axis=0, weights=[n for n, _ in each]) for tuning, each in drawn.items()}
    return _differing(choice, scores, mean)


def _differing(choice: Mapping[str, Any], scores: Mapping[str, Sequence[float]], mean: Mapping[str, Array]) -> str:
    for tuning, values in choice["scores"].items():
        if not _close(values, scores.get(tuning, []), TOLERANCE):
            found = _format_values(scores.get(tuning, []))
            return f"valid_score: its search says {_format_values(values)} for {tuning[:40]}, the prediction gives {found}"
        if not _close(choice["replicates"].get(tuning, []), mean[tuning], CLOSE):
            return f"its scores under resamples ({tuning[:40]}) are not those that its validation predictions give"
    return ""


def _close(one: Sequence[float], other: Sequence[float] | Array, tolerance: float) -> bool:
    if len(one) != len(other):
        return False
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return bool((np.abs(a - b) <= tolerance * np.maximum(1.0, np.abs(a))).all())


def _format_values(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.10g}" for value in values[:3]) or "nothing"
