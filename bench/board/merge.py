"""Merge the rows of several runs into one board, by rules that anybody can repeat from the rows alone.

1. Of several rows for one (task id, data set, model, tuning, seed) the newest by `created` stands (of equals that of the
   run with the higher id). A `skipped` row stands only where no other run has tried that model: a library that one machine
   lacks must not take another's result away. A failed row goes where a newer one of that model and tuning worked. A mean of
   several models goes with them: where newer runs have results of all its members, it is a mean of what is not shown.
2. A board holds one fingerprint for each (task id, data set), and one schema and one aggregator for all. Where runs
   differ, the earliest run stands and the others' rows are left out and named. Publishing refuses to bring this about, and
   `bench board` refuses to show it.
3. Scores, their intervals, `skill` and `above_floor` stay those of a row's own run: they compare with predictions of that
   run, row by row. `behind` refers to the leader of the merged board. Where that leader is of the same run and led there
   too, the paired interval stays. Otherwise nobody resampled the two together: the difference then gets the widest
   interval that the two single intervals allow, so that "told apart" is never claimed without ground.
4. Ranks are made anew, from the values, and ties from these intervals.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from bench.board.families import flag_trivial
from bench.board.metrics import ranking_metric
from bench.board.ranking import boards, candidates, merit, rank, value
from bench.board.recommend import is_mixture, members_of
from bench.board.schema import TUNINGS, Row

Runs: TypeAlias = Mapping[str, Sequence[Row]]
"""Run id (or folder) -> its rows."""
Owned: TypeAlias = tuple[str, Row]
"""The run that a row is of, and the row."""
Key: TypeAlias = tuple[str, str, str, str, int | None]


@dataclass(frozen=True)
class Merged:
    """A merged board."""

    rows: Sequence[Row]
    runs: Sequence[str]
    """The run of each row."""
    superseded: int
    """Rows for which another run has a newer or a better tried one."""
    unpaired: int
    """Rows whose distance to the leader was never resampled together with it."""
    left_out: Sequence[str]
    """Sentences on rows that do not fit the others."""

    @property
    def words(self) -> list[str]:
        """Describe what a reader of the board must know of how it was put together."""
        older = f"{_rows(self.superseded)} of cells that a newer run has too: not shown"
        bound = f"{_rows(self.unpaired)} of another run than the leader: to it the widest interval stands that the two single ones allow"
        return [*([older] if self.superseded else []), *([bound] if self.unpaired else []), *self.left_out]


def row_key(row: Mapping[str, Any]) -> Key:
    """Name a row: what it is a result of."""
    return row["task_id"], row["dataset"], row["model"], row["tuning"], row.get("seed")


def merge(runs: Runs) -> Merged:
    """Merge rows; the same runs give the same board, in whatever order they come."""
    fitting, left_out = _consistent_rows(_ordered(runs))
    kept = sorted(_newest_rows(fitting), key=lambda owned: _order(owned[1]))
    owners = [run for run, _ in kept]
    rows = [row for _, row in kept]
    distances = dict(_distances(rows, owners))
    placed = rank(_trivial([{**row, **distances.get(at, {})} for at, row in enumerate(rows)]))
    unpaired = sum(gap["behind"] is not None and not _led(gap) for gap in distances.values())
    return Merged(placed, owners, len(fitting) - len(kept), unpaired, left_out)


def misfit(runs: Runs) -> list[str]:
    """Return which rows could not stand on one board, and why; empty: all can."""
    return _consistent_rows(_ordered(runs))[1]


def _ordered(runs: Runs) -> Runs:
    """Put the earliest run first; one without rows says nothing."""
    filled = {run: rows for run, rows in runs.items() if rows}
    return {run: filled[run] for run in sorted(filled, key=lambda run: (max(map(_age, filled[run])), run))}


def _age(row: Row) -> str:
    # as text, because a row that was made by hand may lack it
    made = row.get("created")
    return made.isoformat(timespec="microseconds") if isinstance(made, datetime) else ""


def _consistent_rows(runs: Runs) -> tuple[list[Owned], list[str]]:
    """Choose the rows that agree with the earliest run on data and versions; say of the others why not."""
    first: dict[tuple[str, ...], tuple[str, str]] = {}
    kept, told = [], []
    for run, rows in runs.items():
        for row in rows:
            claims = {
                ("schema",): str(row["schema_version"]),
                ("aggregator",): str(row["aggregator"]),
                (row["task_id"], row["dataset"]): str(row["fingerprint"]),
            }
            wrong = [key for key, mine in claims.items() if first.setdefault(key, (mine, run))[0] != mine]
            if not wrong:
                kept.append((run, row))
            told += [_difference(key, first[key], (claims[key], run)) for key in wrong]
    return kept, list(dict.fromkeys(told))


def _difference(key: tuple[str, ...], one: tuple[str, str], other: tuple[str, str]) -> str:
    what = f"the fingerprint of {key[1]} ({key[0]})" if len(key) > 1 else f"the {key[0]}"
    return f"{what} is {one[0]} in run {one[1]} and {other[0]} in run {other[1]}: they cannot stand on one board"


def _newest_rows(owned: Sequence[Owned]) -> list[Owned]:
    """Choose the newest row of each name, and drop what another run has done better."""
    tried: dict[tuple[str, ...], set[str]] = defaultdict(set)
    worked: dict[tuple[str, ...], str] = {}
    newest: dict[Key, Owned] = {}
    for run, row in owned:
        model = (row["task_id"], row["dataset"], row["model"])
        if row["status"] != "skipped":
            tried[model].add(run)
        if row["status"] == "ok":
            cell = (*model, row["tuning"])
            worked[cell] = max(worked.get(cell, ""), _age(row))
    for run, row in owned:
        model = (row["task_id"], row["dataset"], row["model"])
        if row["status"] == "skipped" and tried[model] and run not in tried[model]:
            continue
        if row["status"] not in {"ok", "skipped"} and worked.get((*model, row["tuning"]), "") > _age(row):
            continue
        before = newest.get(row_key(row))
        if before is None or (_age(row), run) > (_age(before[1]), before[0]):
            newest[row_key(row)] = (run, row)
    return _with_members(list(newest.values()))


def _with_members(owned: Sequence[Owned]) -> list[Owned]:
    """Drop each mean of several models of which no member's row is of its run any more."""
    standing: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for run, row in owned:
        standing[row["task_id"], row["dataset"], row["model"]].add(run)

    def gone(run: str, row: Row) -> bool:
        if not is_mixture(row):
            return False
        runs = set[str]().union(*(standing[row["task_id"], row["dataset"], name] for name in members_of(row)))
        return bool(runs) and run not in runs

    return [(run, row) for run, row in owned if not gone(run, row)]


def _order(row: Row) -> tuple[str, str, str, str, int, int]:
    seed = -1 if row["seed"] is None else row["seed"]
    return row["task"], row["task_id"], row["dataset"], row["model"], TUNINGS.index(row["tuning"]), seed


def _distances(rows: Sequence[Row], owners: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """Compute the distance to their board's leader of the rows that were not compared with it."""
    standing = set(candidates(rows))
    for members in boards(rows).values():
        able = [at for at in members if at in standing]
        if not able:
            continue
        leader = min(able, key=lambda at: (-merit(rows[at]), not _led(rows[at]), rows[at]["model"]))
        paired = owners[leader] if _led(rows[leader]) else None
        yield from ((at, _distance(rows[leader], rows[at])) for at in members if owners[at] != paired)


def _led(row: Row) -> bool:
    """Return whether a row was the leader of its own run, or has the very forecasts of it."""
    return all(row[name] == 0 for name in ("behind", "behind_low", "behind_high"))


def _distance(leader: Row, row: Row) -> Row:
    """Bound the difference of two scores by the ends of their own intervals; null where one has none."""
    if row is leader:
        return {"behind": 0.0, "behind_low": 0.0, "behind_high": 0.0}
    if math.isnan(value(row)):
        return {"behind": None, "behind_low": None, "behind_high": None}
    metric, higher = ranking_metric(row)
    ends = [r[f"{metric}_{end}"] for r in (leader, row) for end in (("low", "high") if higher else ("high", "low"))]
    if any(end is None for end in ends):
        return {"behind": merit(leader) - merit(row), "behind_low": None, "behind_high": None}
    # the worst and the best of each, turned so that more is better
    a_low, a_high, b_low, b_high = ends if higher else [-end for end in ends]
    return {"behind": merit(leader) - merit(row), "behind_low": a_low - b_high, "behind_high": a_high - b_low}


def _trivial(rows: Sequence[Row]) -> list[Row]:
    return [{**row, "flags": list(dict.fromkeys(row["flags"] or []))} for row in flag_trivial(rows)]


def _rows(n: int) -> str:
    return f"{n:,} row{'s are' if n != 1 else ' is'}"


def counts(merged: Merged) -> dict[str, int]:
    """Return the number of rows of each run on the board."""
    found: dict[str, int] = defaultdict(int)
    for run in merged.runs:
        found[run] += 1
    return dict(sorted(found.items()))
