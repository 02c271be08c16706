"""Summarise over data sets: charge what failed, then average skill and count wins, per task id."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.board.metrics import ranking_metric
from bench.board.ranking import boards, candidates, league, merit, tuning_that_ranks, value
from bench.board.schema import Row


@dataclass(frozen=True)
class Overall:
    """One model's summary over the data sets of one task id."""

    task_id: str
    """Followed by the league, where a task has leagues."""
    model: str
    datasets: int
    """Data sets that the mean covers."""
    possible: int
    """Data sets of this task id on which anything was ranked."""
    mean_skill: float
    """Mean difference to the reference, in the ranking metric; nan where no reference scored."""
    won: int
    """Data sets where it leads and no other model is tied with it."""
    tied: int
    """Data sets where it is in the leader's tie group, which nobody has won."""
    failed: int
    """Cells that failed, on all data sets of the task id."""
    charged: int
    """Failed cells that stand in the mean with a charged score."""


def charge(rows: Sequence[Row]) -> list[Row]:
    """Charge each failed cell: the worse of the reference's and the worst finite one on that data set.

    Returns the rows that stand for their models (ranks as given) and one row for each failed cell, with the ranking
    metric, `skill` and the flag `charged` set, intervals and rank left out. Where nothing scored, nothing is
    charged. For aggregates only: a board shows a failure as a failure.
    """
    standing = set(candidates(rows))
    out: list[Row] = []
    for members in boards(rows).values():
        scored = [rows[at] for at in members if at in standing]
        out += scored
        failures = _failures(rows, members, {row["model"] for row in scored})
        out += [_charged(rows[at], scored, [rows[o] for o in standing if _beside(rows[o], rows[at])]) for at in failures]
    return out


def overall(rows: Sequence[Row]) -> list[Overall]:
    """Summarise each model over the data sets of a task id (and league), best mean skill first; [] where none has two.

    Data sets on which nothing is ranked (all failed, or underpowered) are left out of it, and those that a floor shows to
    be trivial.
    """
    by_task: dict[str, list[Row]] = {}
    failed: Counter[tuple[str, str]] = Counter()
    charged = charge(rows)
    for (task_id, _), members in boards(charged).items():
        own = [charged[at] for at in members]
        if any("trivial" in (row.get("flags") or []) for row in own):
            continue
        key = ", ".join(filter(None, [task_id, league(own[0])]))
        failed.update((key, row["model"]) for row in own if math.isnan(value(row)))
        if any(row.get("rank") is not None for row in own):
            by_task.setdefault(key, []).extend(own)
    return [summary for key, own in by_task.items() for summary in _summaries(key, own, failed)]


def _failures(rows: Sequence[Row], members: Sequence[int], scored: set[str]) -> list[int]:
    cells: dict[str, list[int]] = {}
    for at in members:
        if rows[at]["model"] not in scored:
            cells.setdefault(rows[at]["model"], []).append(at)
    # one failure a model, by the rows that would have stood for it; an unfinished search leaves only defaults
    return [(tuning_that_ranks(rows, cell) or cell)[0] for cell in cells.values()]


def _beside(one: Row, other: Row) -> bool:
    """Return whether two rows are of one task id and data set, whatever their leagues: a reference may stand in another."""
    return (one["task_id"], one["dataset"]) == (other["task_id"], other["dataset"])


def _charged(row: Row, scored: Sequence[Row], beside: Sequence[Row]) -> Row:
    metric, _ = ranking_metric(row)
    flags = [*(row.get("flags") or []), "charged"]
    blank = {"rank": None, "tied": None, f"{metric}_low": None, f"{metric}_high": None, "skill_low": None, "skill_high": None}
    if not scored:
        return {**row, **blank}
    reference = next((r for r in beside if r["model"] == row.get("reference")), None)
    worst = min([*scored, *([] if reference is None else [reference])], key=merit)
    skill = None if reference is None else merit(worst) - merit(reference)
    return {**row, **blank, metric: value(worst), "skill": skill, "flags": flags}


def _summaries(task_id: str, rows: Sequence[Row], failed: Mapping[tuple[str, str], int]) -> list[Overall]:
    possible = len(boards(rows))
    if possible < 2:
        return []
    by_model: dict[str, list[Row]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    found = [_summary(task_id, own, possible, failed.get((task_id, model), 0)) for model, own in by_model.items()]
    return sorted(found, key=lambda s: (math.isnan(s.mean_skill), -s.mean_skill, s.model))


def _summary(task_id: str, rows: Sequence[Row], possible: int, failed: int) -> Overall:
    skills = [row["skill"] for row in rows if row.get("skill") is not None and not math.isnan(row["skill"])]
    return Overall(
        task_id=task_id,
        model=rows[0]["model"],
        datasets=len(skills),
        possible=possible,
        mean_skill=sum(skills) / len(skills) if skills else math.nan,
        won=sum(row.get("rank") == 1 and not row.get("tied") for row in rows),
        tied=sum(bool(row.get("tied")) for row in rows),
        failed=failed,
        charged=sum("charged" in (row.get("flags") or []) for row in rows),
    )
