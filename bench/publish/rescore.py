"""Score published predictions again, against truth rebuilt from the data, and compare every number of the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.board.merge import row_key
from bench.board.ranking import rank
from bench.board.schema import Row, metric_columns
from bench.data.ragged import Array
from bench.publish import bounded, untrusted
from bench.publish.duplicates import duplicates, sketch
from bench.publish.package import opaque
from bench.publish.place import Published
from bench.publish.store import PlaceError
from bench.runs.problem import Problem
from bench.runs.score_rows import scored
from bench.tasks.base import Scorer, Split, Task

TOLERANCE = 1e-9
"""Relative to 1 or the number itself: what another machine's sums may differ by."""
RANKED = ("skill", "behind", "above_floor", "ceiling")
"""What compares a prediction with others of its run, or with what nobody exceeds."""


@dataclass(frozen=True)
class RescoredBoard:
    """One published board of one run: its rows, their positions in the run, and the split made anew."""

    published: Published
    rows: Sequence[Row]
    split: Split
    task: Task

    @property
    def key(self) -> tuple[str, str]:
        """Return (task id, data set)."""
        return self.rows[0]["task_id"], self.rows[0]["dataset"]


def rescored(board: RescoredBoard, index: Sequence[Mapping[str, Any]], members: pa.Table) -> tuple[list[str], list[str]]:
    """State of each row of a board what does not agree with its prediction and the data (empty: all agrees), and what is odd."""
    told = ["" for _ in board.rows]
    if wrong := _members(board, members):
        return [wrong for _ in board.rows], []
    scorers: dict[int, Scorer] = {}
    sketches: dict[int, Sequence[Array]] = {}
    files = {row_key(entry): entry["file"] for entry in index}
    for at, row in enumerate(board.rows):
        told[at] = _columns(row, board.split)
        if row["status"] == "ok":
            try:
                scorers[at], sketches[at] = _scorer(board, row, files)
            except PlaceError as error:
                told[at] = str(error)
    whole = len(scorers) == sum(row["status"] == "ok" for row in board.rows)
    again = zip(enumerate(told), _again(board, scorers), strict=True)
    found = [words or _numbers(board, at, numbers, whole=whole) for (at, words), numbers in again]
    return found, list(duplicates(board.rows, sketches))


def _members(board: RescoredBoard, members: pa.Table) -> str:
    own = board.split.members
    columns = [list(values) for values in own.values()]
    records = [dict(zip(own, values, strict=True)) for values in zip(*columns, strict=True)]
    made = pa.array(opaque(records, board.rows[0]["fingerprint"]), pa.string())
    here = pc.and_(*(bounded.equal_to(members[name], text) for name, text in zip(("task_id", "dataset"), board.key, strict=True)))
    stored = members["member"].filter(here)
    if not bounded.same_texts(stored, made):
        return f"members: the {len(stored):,} published ids are not those of the {len(made):,} members that the data gives"
    return ""


def _scorer(board: RescoredBoard, row: Row, files: Mapping[Any, str]) -> tuple[Scorer, Sequence[Array]]:
    name = files.get(row_key(row))
    if name is None:
        raise PlaceError("its prediction is not among those published")
    what = board.published.path(name)
    prediction = untrusted.prediction(board.published.file(name), what, untrusted.max_bytes(board.split))
    try:
        scorer = board.task.scorer(board.split, prediction)
        scorer.score(np.ones((1, len(board.split.truths["final"].group))))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise PlaceError(f"{what}: does not fit the data ({type(error).__name__}: {error})") from None
    return scorer, sketch(prediction)


def _again(board: RescoredBoard, scorers: Mapping[int, Scorer]) -> list[dict[str, Any]]:
    """Make the scored columns of each row anew; {} for rows that have none."""
    if not scorers:
        return [{} for _ in board.rows]
    split, (first, *_) = board.split, board.rows
    problem = Problem(first["dataset"], bool(first["simulated"]), first["fingerprint"], split, [])
    rows = [dict(row) for row in board.rows]
    found = scored(rows, scorers, problem, board.task)
    made = [found.get(at, {}) for at in range(len(rows))]
    ranks = rank([{**row, **own} for row, own in zip(rows, made, strict=True)])
    return [{**own, "rank": row["rank"], "tied": row["tied"]} if own else {} for own, row in zip(made, ranks, strict=True)]


def _columns(row: Row, split: Split) -> str:
    """Compare what the split itself puts into every row: sizes, base rate, level, family, what it is measured against, flags."""
    columns = {"objective": split.ranking.metric, "reference": split.ranking.reference, **split.columns}
    for name, value in columns.items():
        if name in row and not _same(row[name], value):
            return f"{name}: the row says {row[name]!r:.40}, the data gives {value!r:.40}"
    lost = [flag for flag in split.flags if flag not in (row["flags"] or [])]
    return f"flags: the row lacks {lost[0]!r}, which the data gives" if lost and row["status"] == "ok" else ""


def _numbers(board: RescoredBoard, at: int, found: Mapping[str, Any], *, whole: bool) -> str:
    """Compare a row's numbers with those made anew; where another prediction is unreadable, only its own."""
    row, own = board.rows[at], _measured(board, at)
    names = [*metric_columns((*own, *RANKED) if whole else own)]
    # boards from before ties were a column of their own number their ranks otherwise, but rank the same rows
    older = row.get("tied") is None and row.get("rank") is not None and found.get("rank") is not None
    names += ["rank", "tied"] if whole and not older else []
    wrong = [name for name in names if not _same(row.get(name), found.get(name))]
    if not wrong:
        return ""
    name = wrong[0]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return f"{name}{more}: the row says {_format_value(row.get(name))}, its prediction gives {_format_value(found.get(name))}"


def _measured(board: RescoredBoard, at: int) -> tuple[str, ...]:
    """List the metrics that a row's run knew, the one that ranks among them: what none of its rows has was added to the task later."""
    run = [row for row in board.rows if row.get("created") == board.rows[at].get("created")]
    return tuple(
        name
        for name in board.task.metrics
        if name == board.split.ranking.metric or any(row.get(column) is not None for row in run for column in metric_columns([name]))
    )


def _same(one: Any, other: Any) -> bool:
    one, other = (None if isinstance(v, float) and math.isnan(v) else v for v in (one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return bool(abs(one - other) <= TOLERANCE * max(1.0, abs(one)))
    return bool(one == other)


def _format_value(value: Any) -> str:
    return "nothing" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)
