"""Decide which rows rank, in what order, and say the outcome in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.board.metrics import ranking_metric, unit_of
from bench.board.numbers import clean, several, signed, span
from bench.board.schema import Row

NAMED = 3
"""Most models that a verdict names in a list; the others are counted."""


def value(row: Row) -> float:
    """Return the row's ranking metric, nan where it has none or the row failed."""
    found = row.get(ranking_metric(row)[0])
    return math.nan if found is None or row["status"] != "ok" else float(found)


def merit(row: Row) -> float:
    """Return the ranking metric turned so that more is better; nan where there is none. For sorting, never for showing."""
    return value(row) if ranking_metric(row)[1] else -value(row)


def league(row: Row) -> str:
    """Name the league of a row within its task: causal and offline anomaly detectors are ranked apart."""
    return row.get("mode") or "" if row["task"] == "anomaly" else ""


def label(row: Row) -> str:
    """Name a row's board for people, within its task id: the data set, and the league where there are several."""
    return ", ".join(filter(None, [row["dataset"], league(row)]))


def boards(rows: Sequence[Row]) -> dict[tuple[str, str], list[int]]:
    """Group the positions of the rows by board, (task id, label), in order of appearance."""
    found: dict[tuple[str, str], list[int]] = {}
    for at, row in enumerate(rows):
        found.setdefault((row["task_id"], label(row)), []).append(at)
    return found


def candidates(rows: Sequence[Row]) -> list[int]:
    """List the positions of the rows that stand for their model, at most one per (task id, data set, model).

    A model is judged by its `tuned` rows; without any by `label-free` ones; without these by `default` rows with no
    trials, which is a model that has no space. Of several seeds that scored, the one with the median ranking metric
    stands, of an even number the worse of the middle two (and the lower seed of equals). Failed rows never stand.
    """
    cells: dict[tuple[str, str, str], list[int]] = {}
    for at, row in enumerate(rows):
        cells.setdefault((row["task_id"], row["dataset"], row["model"]), []).append(at)
    picked = (_median(rows, [at for at in tuning_that_ranks(rows, cell) if not math.isnan(value(rows[at]))]) for cell in cells.values())
    return sorted(at for at in picked if at is not None)


def tuning_that_ranks(rows: Sequence[Row], cell: Sequence[int]) -> list[int]:
    """Choose, of one model's rows at the positions `cell`, those of the tuning by which the model is judged.

    A tuning that was skipped, because the data leaves no room for it, judges nobody.
    """
    for tuning in ("tuned", "label-free"):
        if chosen := [at for at in cell if rows[at]["tuning"] == tuning and rows[at]["status"] != "skipped"]:
            return chosen
    return [at for at in cell if not rows[at].get("trials")]


def rank(rows: Sequence[Row]) -> list[Row]:
    """Rank the rows of each board by value: copies with `rank` and `tied` set, None where unranked.

    The best has rank 1; equal values share a number (1, 2, 2, 4), so a worse row never stands above a better one. `tied`
    is true for the rows that cannot be told apart from the leader, and for the leader where there are any. Rows flagged
    underpowered, failed rows and rows that do not stand for their model are unranked. `behind` must refer to the best of
    `candidates`, as `bench.board.statistics.compare` computes it.
    """
    standing = [at for at in candidates(rows) if "underpowered" not in (rows[at].get("flags") or [])]
    places: dict[int, tuple[int, bool]] = {}
    for members in boards(rows).values():
        inside = set(members)
        places |= _places(rows, [at for at in standing if at in inside])
    return [{**row, "rank": places.get(at, (None, None))[0], "tied": places.get(at, (None, None))[1]} for at, row in enumerate(rows)]


def placed(rows: Sequence[Row]) -> list[Row]:
    """List the ranked rows of one board, the leader first."""
    ranked = (row for row in rows if row.get("rank") is not None)
    return sorted(ranked, key=lambda row: (row["rank"], row["model"], row["tuning"]))


def tie_group(rows: Sequence[Row]) -> list[Row]:
    """List the ranked rows of one board that cannot be told apart from its leader, which comes first; the leader alone where none is."""
    order = placed(rows)
    return [row for at, row in enumerate(order) if at == 0 or row.get("tied")]


def leading(rows: Sequence[Row]) -> Row | None:
    """Choose the row that leads one board; where nothing is ranked, the best that stands for a model; None where none scored."""
    standing = [rows[at] for at in candidates(rows)]
    order = placed(rows) or sorted(standing, key=lambda row: (-merit(row), row["model"]))
    return order[0] if order else None


def separable(row: Row, leader: Row) -> bool:
    """Return whether a row is told apart from the leader; without an interval, any difference counts."""
    low, high = row.get("behind_low"), row.get("behind_high")
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return value(row) != value(leader)
    return bool(low > 0 or high < 0)


def verdict(rows: Sequence[Row]) -> str:
    """State in one sentence what the ranked rows of one board show: who leads, and who is statistically tied with it.

    Names are model authors' text: control characters are replaced, markup is not (print without markup).
    """
    order = placed(rows)
    if not order:
        return _nothing_ranked(rows)
    leader, *others = order
    name = clean(leader["model"])
    tied = tie_group(rows)[1:]
    if tied:
        return f"{name} leads; statistically tied with {several([_gap(row) for row in tied], NAMED)}"
    if others:
        return f"{name} leads; {clean(others[0]['model'])} is next{_parted(others[0])}"
    return f"{name} leads; no other model is ranked"


def _median(rows: Sequence[Row], scored: Sequence[int]) -> int | None:
    by_merit = sorted(scored, key=lambda at: (merit(rows[at]), rows[at].get("seed") or 0, at))
    return by_merit[(len(by_merit) - 1) // 2] if by_merit else None


def _places(rows: Sequence[Row], standing: Sequence[int]) -> dict[int, tuple[int, bool]]:
    """Return rank, and whether it is tied with the leader, by position."""
    merits = {at: merit(rows[at]) for at in standing}
    order = sorted(standing, key=lambda at: (-merits[at], rows[at]["model"]))
    if not order:
        return {}
    tied = {at for at in order[1:] if not separable(rows[at], rows[order[0]])}
    tied |= {order[0]} if tied else set()
    first: dict[float, int] = {}
    for place, at in enumerate(order, 1):
        first.setdefault(merits[at], place)
    return {at: (first[merits[at]], at in tied) for at in order}


def _gap(row: Row) -> str:
    return f"{clean(row['model'])} ({_difference(row, 1)})" if _has_difference(row) else clean(row["model"])


def _parted(row: Row) -> str:
    return f" ({_difference(row, -1)})" if _has_difference(row) else ""


def _has_difference(row: Row) -> bool:
    return row.get("behind") is not None and not math.isnan(row["behind"])


def _difference(row: Row, sign: int) -> str:
    ends = [row.get("behind_low"), row.get("behind_high")][::sign]
    low, high = (None if end is None else sign * end for end in ends)
    return f"{signed(sign * row['behind'])}, {span(low, high, signed)}"


def _nothing_ranked(rows: Sequence[Row]) -> str:
    weak = next((row for row in rows if row["status"] == "ok" and "underpowered" in (row.get("flags") or [])), None)
    if weak is not None:
        return f"underpowered, nothing is ranked: {_weakness(weak)}"
    causes: dict[str, str] = {}
    for row in rows:
        word = "no ranking metric" if row["status"] == "ok" else row["status"]
        causes.setdefault(clean(row["model"]), ": ".join(filter(None, [word, clean(row.get("reason") or "")])))
    listed = several([f"{model} ({cause})" for model, cause in causes.items()], NAMED)
    return f"no model could be scored: {listed or 'none was run'}"


def _weakness(row: Row) -> str:
    if row["task"] == "churn":
        return f"{_counts(row)}; at least 200 test users and 30 of each class are needed"
    if row["task"] == "forecasting":
        return f"too few blocks of steps to resample in {row.get('n_test') or 0:,} series; more test windows with --set windows=8"
    if row["task"] == "anomaly":
        return f"too few of the {row.get('n_test') or 0:,} scored entities have an anomaly; at least 5 are needed"
    return f"{row.get('n_test') or 0:,} test {unit_of(row['task'])} are too few"


def _counts(row: Row) -> str:
    if row.get("n_test") is None or row.get("base_rate") is None:
        return clean(row.get("reason") or "") or "too few test users"
    churned = round(row["n_test"] * row["base_rate"])
    return f"{row['n_test']:,} test users, {churned:,} churned and {row['n_test'] - churned:,} stayed"
