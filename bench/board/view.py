"""Turn the rows of one board into what every form of it shows: title, facts, lines of words, caption, verdict."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.board.metrics import ranking_label, ranking_metric, shown_metrics, unit_of, way
from bench.board.numbers import ABSENT, clean, plain, seconds, signed, span
from bench.board.ranking import boards, candidates, label, merit, verdict
from bench.board.recommend import known_cost, recommend
from bench.board.schema import Row

FEW_SERIES = 8
"""Below so many series, the task resamples blocks of steps."""


@dataclass(frozen=True)
class Column:
    """Name a column: on one line, and split over two where space is short."""

    key: str
    head: str
    split: tuple[str, str]
    right: bool = True


@dataclass(frozen=True)
class Line:
    """One row in words; `cells` match the view's columns, the note stands apart because it may be long."""

    cells: tuple[str, ...]
    note: str
    failed: bool


@dataclass(frozen=True)
class BoardView:
    """One board in words; all text is clean, none of it is escaped for a medium."""

    title: str
    facts: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    caption: str
    verdict: str
    recommendation: str
    """Which model to take and what the leader costs; empty where nothing is ranked."""
    skipped: tuple[str, ...] = ()
    """Which tunings were skipped of models that have another row, and why; one sentence a reason."""

    @property
    def words(self) -> list[str]:
        """List the sentences that stand below the table."""
        return [self.verdict, *filter(None, [self.recommendation]), *self.skipped]


def board_views(rows: Sequence[Row], *, all_rows: bool = False) -> list[BoardView]:
    """Lay out ranked rows as one view for each (task id, data set).

    Without `all_rows`, one line stands for each model (the row that ranks) and one for each different failure; a tuning that was
    skipped is no line where the model has a score by another, but part of a sentence.
    """
    return [_view([rows[at] for at in members], all_rows=all_rows) for members in boards(rows).values()]


def listed(rows: Sequence[Row], *, all_rows: bool = False) -> list[Row]:
    """Choose and order the rows of one board that are shown: ranked, then scored, then failed. No model is left out."""
    standing = [rows[at] for at in candidates(rows)]
    known = {row["model"] for row in standing}
    orphans = [row for row in rows if row["status"] == "ok" and row["model"] not in known]
    scored = {row["model"] for row in rows if row["status"] == "ok"}
    bad = [row for row in rows if row["status"] != "ok" and not _skipped_beside(row, scored)]
    failures = list({(row["model"], row["status"], row.get("reason")): row for row in reversed(bad)}.values())
    return sorted(rows if all_rows else [*standing, *orphans, *failures], key=_place)


def _skipped_beside(row: Row, scored: Collection[str]) -> bool:
    """Return whether a row is a skipped tuning of a model that has a score by another on the same board."""
    return row["status"] == "skipped" and row["model"] in scored


def _skipped_words(rows: Sequence[Row]) -> tuple[str, ...]:
    found: dict[tuple[str, str], dict[str, None]] = {}
    scored = {row["model"] for row in rows if row["status"] == "ok"}
    for row in (row for row in rows if _skipped_beside(row, scored)):
        found.setdefault((row["tuning"], clean(row.get("reason") or "")), {})[clean(row["model"])] = None
    return tuple(f"{tuning} skipped for {', '.join(models)}: {reason}" for (tuning, reason), models in found.items())


def _place(row: Row) -> tuple[bool, float, float, str, str, int]:
    number, worth = row.get("rank"), merit(row)
    return (
        row["status"] != "ok",
        math.inf if number is None else number,
        math.inf if math.isnan(worth) else -worth,
        row["model"],
        row["tuning"],
        row.get("seed") or 0,
    )


def _view(rows: Sequence[Row], *, all_rows: bool) -> BoardView:
    shown = listed(rows, all_rows=all_rows)
    one = rows[0]
    simulated = " (simulated)" if one.get("simulated") else ""
    return BoardView(
        title=f"{clean(label(one))}{simulated}  {clean(one['task_id'])}",
        facts=_facts(rows),
        columns=_columns(one),
        lines=tuple(_line(row, rows, all_rows=all_rows) for row in shown),
        caption=_caption(rows),
        verdict=verdict(rows),
        recommendation="" if (best := recommend(rows)) is None else best.words,
        skipped=() if all_rows else _skipped_words(rows),
    )


def _columns(row: Row) -> tuple[Column, ...]:
    label = ranking_label(row)
    return (
        Column("rank", "rank", ("", "rank"), right=False),
        Column("tied", "tied", ("", "tied"), right=False),
        Column("model", "model", ("", "model"), right=False),
        Column("skill", "skill", ("", "skill")),
        Column("skill_span", "95 % interval", ("95 %", "interval"), right=False),
        Column("metric", f"test {label}", ("test", label)),
        Column("metric_span", "95 % interval", ("95 %", "interval"), right=False),
        *(Column(f"beside-{at}", one.label, _split_label(one.label)) for at, one in enumerate(shown_metrics(row))),
        Column("seconds", "seconds", ("", "seconds")),
    )


def _split_label(label: str) -> tuple[str, str]:
    parts = label.replace("-", "- ").split(" ", 1)
    return (parts[0], parts[1]) if len(parts) > 1 else ("", label)


def _line(row: Row, rows: Sequence[Row], *, all_rows: bool) -> Line:
    failed = row["status"] != "ok"
    measured = _failure(row, len(shown_metrics(row))) if failed else _measured(row)
    spent = seconds(known_cost(row, rows))
    return Line((_rank_word(row), tied_word(row), clean(row["model"]), *measured, spent), _note(row, rows, all_rows=all_rows), failed)


def _failure(row: Row, beside: int) -> tuple[str, ...]:
    word = {"failed": "failed: error", "skipped": "skipped"}.get(row["status"], f"failed: {row['status']}")
    return word, *(ABSENT,) * (3 + beside)


def _measured(row: Row) -> tuple[str, ...]:
    metric = ranking_metric(row)[0]
    of_skill = span(row.get("skill_low"), row.get("skill_high"), signed)
    return (
        signed(row.get("skill")),
        "reference" if row["model"] == row.get("reference") and _is_nothing(row.get("skill")) else of_skill,
        plain(row.get(metric)),
        span(row.get(f"{metric}_low"), row.get(f"{metric}_high")),
        *(plain(row.get(one.name)) for one in shown_metrics(row)),
    )


def _is_nothing(x: float | None) -> bool:
    return x is None or x == 0


def _rank_word(row: Row) -> str:
    return ABSENT if row.get("rank") is None else str(row["rank"])


def tied_word(row: Row) -> str:
    """Return whether a row is in the leader's tie group, in a word."""
    return ABSENT if row.get("rank") is None else "yes" if row.get("tied") else "no"


def _note(row: Row, rows: Sequence[Row], *, all_rows: bool) -> str:
    words = [row["tuning"]]
    seeds = sum(_same_fit(other, row) for other in rows)
    if all_rows and len({other.get("seed") for other in rows}) > 1:
        words.append(f"seed {row['seed']}")
    elif seeds > 1 and row["status"] == "ok":
        words.append(f"median of {seeds} seeds")
    words += [flag for flag in row.get("flags") or [] if flag != "underpowered" or not _all_underpowered(rows)]
    return "; ".join(filter(None, [", ".join(words), clean(row.get("reason") or "")]))


def _same_fit(other: Row, row: Row) -> bool:
    return other["status"] == "ok" and (other["model"], other["tuning"]) == (row["model"], row["tuning"])


def _all_underpowered(rows: Sequence[Row]) -> bool:
    return all("underpowered" in (row.get("flags") or []) for row in rows if row["status"] == "ok")


def _first(rows: Sequence[Row], key: str) -> float | None:
    return next((row[key] for row in rows if row.get(key) is not None), None)


def _facts(rows: Sequence[Row]) -> str:
    n, rate, horizon = (_first(rows, key) for key in ("n_test", "base_rate", "horizon_days"))
    facts = [
        "" if n is None else f"{n:,} test {unit_of(rows[0]['task'])}",
        "" if rate is None else f"base rate {100 * rate:.0f} %",
        "" if horizon is None else f"horizon {horizon:g} days",
        _ceiling(rows),
        "underpowered: nothing is ranked" if any(r["status"] == "ok" for r in rows) and _all_underpowered(rows) else "",
    ]
    return ", ".join(filter(None, facts))


def _ceiling(rows: Sequence[Row]) -> str:
    """Describe what one who knows how the truth was made scores; empty where nobody does. It is no row: it cannot rank or lead."""
    row = next((row for row in rows if row.get("ceiling") is not None), None)
    if row is None:
        return ""
    found = f"{plain(row['ceiling'])} ({span(row.get('ceiling_low'), row.get('ceiling_high'))})"
    return f"ceiling: {ranking_label(row)} {found}, by an oracle that knows how the truth was made; no model, not ranked"


def _caption(rows: Sequence[Row]) -> str:
    label = ranking_label(rows[0])
    reference = next((clean(row["reference"]) for row in rows if row.get("reference")), "the reference")
    unit = unit_of(rows[0]["task"])
    few = rows[0]["task"] == "forecasting" and (_first(rows, "n_test") or 0) < FEW_SERIES
    parts = [
        f"rank: by test {label} ({way(higher=ranking_metric(rows[0])[1])} is better)",
        "tied: cannot be told apart from the leader" if any(row.get("rank") is not None for row in rows) else "",
        f"skill: difference to {reference} in test {label} (higher is better)",
        *(f"{one.label} ({way(higher=one.higher_is_better)} is better)" for one in shown_metrics(rows[0])),
        f"intervals: 95 %, paired, resampled over {'blocks of steps' if few else unit}",
        "seconds: search (a default needs none), fit and predict",
    ]
    return "; ".join(filter(None, parts))
