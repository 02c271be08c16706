"""Merge the rows of several runs into one board, by rules that anybody can repeat from the rows alone.

1. Of several rows for one (task id, data set, model, tuning, seed) the newest by `created` stands (of equals that of the
   run with the higher id); the others are counted. A `skipped` row stands only where no run has anything else for that
   model: a library that one machine lacks must not take another's result away.
2. A board holds one fingerprint for each (task id, data set), and one schema and one aggregator for all. Where runs
   differ, the earliest run stands and the others' rows are left out and named. Publishing refuses to bring this about.
3. Scores, their intervals, `skill` and `above_floor` stay those of a row's own run: they compare with predictions of that
   run, row by row. `behind` refers to the leader of the merged board: where that leader is of the same run and led there
   too, the paired interval stays; otherwise `behind` is the plain difference of the two scores, which the same test rows
   allow, and its interval is null, because nobody resampled the two together.
4. Ranks are made anew. A row without a paired interval is told apart from the leader only where their own intervals do
   not even touch, which is the more careful rule of the two: it shares rank 1 in case of doubt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from bench.board.families import flag_trivial
from bench.board.ranking import boards, candidates, merit, rank, ranking_metric, value
from bench.board.schema import TUNINGS, Row
from bench.publish.package import row_key

Runs: TypeAlias = Mapping[str, Sequence[Row]]
"""Run id -> its rows."""
Owned: TypeAlias = tuple[str, Row]
"""A row and the run that it is of."""


@dataclass(frozen=True)
class Merged:
    """Hold a merged board."""

    rows: Sequence[Row]
    runs: Sequence[str]
    """The run of each row."""
    superseded: int
    """Rows for which another run has a newer one."""
    left_out: Sequence[str]
    """Sentences on rows that do not fit the others."""


def merge(runs: Runs) -> Merged:
    """Merge rows; the same runs give the same board, in whatever order they come."""
    ordered = sorted(runs, key=lambda run: (_newest(runs[run]), run))
    fitting, left_out = _fitting({run: runs[run] for run in ordered})
    kept = _newest_of_each(fitting)
    kept.sort(key=lambda owned: _order(owned[1]))
    owners = [run for run, _ in kept]
    rows = _behind([row for _, row in kept], owners)
    superseded = len(fitting) - len(kept)
    return Merged(_ranked(_trivial(rows)), owners, superseded, left_out)


def misfit(runs: Runs) -> list[str]:
    """Say which rows could not stand on one board, and why; empty: all can."""
    ordered = sorted(runs, key=lambda run: (_newest(runs[run]), run))
    return _fitting({run: runs[run] for run in ordered})[1]


def _fitting(runs: Runs) -> tuple[list[Owned], list[str]]:
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


def _newest(rows: Sequence[Row]) -> datetime:
    newest: datetime = max(row["created"] for row in rows)
    return newest


def _newest_of_each(owned: Sequence[Owned]) -> list[Owned]:
    tried: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for run, row in owned:
        if row["status"] != "skipped":
            tried[_cell(row)].add(run)
    best: dict[tuple[object, ...], Owned] = {}
    for run, row in owned:
        elsewhere = tried[_cell(row)]
        if row["status"] == "skipped" and elsewhere and run not in elsewhere:
            continue
        before = best.get(row_key(row))
        if before is None or (row["created"], run) > (before[1]["created"], before[0]):
            best[row_key(row)] = (run, row)
    return list(best.values())


def _cell(row: Row) -> tuple[str, str, str]:
    return row["task_id"], row["dataset"], row["model"]


def _order(row: Row) -> tuple[str, str, str, str, int, int]:
    seed = -1 if row["seed"] is None else row["seed"]
    return row["task"], row["task_id"], row["dataset"], row["model"], TUNINGS.index(row["tuning"]), seed


def _behind(rows: Sequence[Row], owners: Sequence[str]) -> list[Row]:
    """Let `behind` refer to the merged board's leader."""
    out = [dict(row) for row in rows]
    standing = set(candidates(rows))
    for members in boards(rows).values():
        able = [at for at in members if at in standing]
        if not able:
            continue
        leader = min(able, key=lambda at: (-merit(rows[at]), not _led(rows[at]), rows[at]["model"]))
        paired = owners[leader] if _led(rows[leader]) else None
        for at in members:
            if owners[at] != paired:
                gap = None if value(rows[at]) != value(rows[at]) else merit(rows[leader]) - merit(rows[at])
                out[at] |= {"behind": gap, "behind_low": None, "behind_high": None}
    return out


def _led(row: Row) -> bool:
    """Say whether a row was the leader of its own run."""
    return all(row[name] == 0 for name in ("behind", "behind_low", "behind_high"))


def _trivial(rows: Sequence[Row]) -> list[Row]:
    flagged = flag_trivial(rows)
    return [{**row, "flags": list(dict.fromkeys(row["flags"] or []))} for row in flagged]


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """Rank; where there is no paired interval, by whether the rows' own intervals touch."""
    careful = [dict(row) for row in rows]
    standing = set(candidates(rows))
    by_board: dict[int, int] = {}
    for members in boards(rows).values():
        able = [at for at in members if at in standing]
        if able:
            leader = min(able, key=lambda at: (-merit(rows[at]), rows[at]["model"]))
            by_board |= dict.fromkeys(members, leader)
    for at, leader in by_board.items():
        if rows[at]["behind_low"] is None and at != leader:
            careful[at] |= dict(zip(("behind_low", "behind_high"), _apart(rows[leader], rows[at]), strict=True))
    numbers = [row["rank"] for row in rank(careful)]
    return [{**row, "rank": number} for row, number in zip(rows, numbers, strict=True)]


def _apart(leader: Row, row: Row) -> tuple[float | None, float | None]:
    """Bound the difference of two scores by the ends of their own intervals."""
    metric, higher = ranking_metric(row)
    ends = [r[f"{metric}_{end}"] for r in (leader, row) for end in ("low", "high")]
    if any(end is None for end in ends):
        return None, None
    a_low, a_high, b_low, b_high = ends if higher else (-ends[1], -ends[0], -ends[3], -ends[2])
    return a_low - b_high, a_high - b_low


def counts(merged: Merged) -> dict[str, int]:
    """Count the rows of each run on the board."""
    found: dict[str, int] = defaultdict(int)
    for run in merged.runs:
        found[run] += 1
    return dict(sorted(found.items()))
