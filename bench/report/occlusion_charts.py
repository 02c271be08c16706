"""Draw what a churn model looks at: the ROC AUC that it loses where something is taken from its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import clean, plain, signed, span
from bench.metrics.rounding import rounded
from bench.report.chart import Chart, axis, layout, upright, wrapped
from bench.report.palette import LIGHT

Data = Mapping[str, Any]
MOST = 15
"""Bars of a chart: those that change most; the table has all."""
PHRASES = {"kind": "{} events removed", "time": "{} removed", "aggregate": "{} shuffled"}


def occlusion_gap(figure: Data, model: str) -> str:
    """Explain why nothing is drawn of a model; empty where something is."""
    found = figure.get("looks_at", {}).get(model)
    if found is None:
        return f"What {clean(model)} looks at was not asked in this run."
    if found["reason"]:
        return f"What {clean(model)} looks at is not known: {clean(found['reason'])}."
    return "" if _measured(found) else f"What {clean(model)} looks at is not known: {clean(found['rows'][0]['reason'])}."


def occlusion_chart(figure: Data, model: str, key: str = "looks") -> Chart | None:
    """Draw the changes that cost most as bars with their intervals; None where the model was not or could not be asked."""
    if occlusion_gap(figure, model):
        return None
    found = figure["looks_at"][model]
    rows = sorted(_measured(found), key=lambda row: -row["drop"])
    moved = [row for row in rows if row["low"] or row["drop"] or row["high"]]
    shown = sorted(sorted(moved, key=lambda row: -abs(row["drop"]))[:MOST], key=lambda row: -row["drop"])
    return Chart(
        key=key,
        title=f"What {clean(model)} looks at",
        finding=_finding(moved, found),
        traces=[_bars(shown)],
        layout=_layout(shown),
        head=("change", "ROC AUC lost", "95 % interval"),
        rows=[(_phrase(row), signed(row["drop"]), span(row["low"], row["high"], signed)) for row in rows]
        + [(_phrase(row), f"not known: {row['reason']}", "none") for row in found["rows"] if row.get("reason")],
        note=_note(len(rows), len(moved), len(shown), found["users"]),
    )


def _measured(found: Data) -> list[Data]:
    return [row for row in found["rows"] if not row.get("reason")]


def _phrase(row: Data) -> str:
    return PHRASES[row["group"]].format(row["what"])


def _finding(moved: Sequence[Data], found: Data) -> str:
    asked = f"Asked again about {found['users']:,} test users, ROC AUC {plain(found['auc'])}"
    if not moved:
        return f"{asked}: no change moves the order of its scores."
    first = moved[0]
    sure = "" if (first["low"] or 0) > 0 else ", which chance may explain"
    interval = span(first["low"], first["high"], signed)
    return f"{asked}: it loses most, {plain(first['drop'])} ({interval}), with {clean(_phrase(first))}{sure}."


def _bars(rows: Sequence[Data]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": "ROC AUC lost",
        "x": [row["drop"] for row in rows],
        "y": list(range(len(rows))),
        "width": 0.62,
        "hovertemplate": "%{x:.3f}<extra></extra>",
        "marker": {"color": LIGHT[0]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [rounded(_end(row, "high") - row["drop"]) for row in rows],
            "arrayminus": [rounded(row["drop"] - _end(row, "low")) for row in rows],
            "color": LIGHT[1],
            "thickness": 1.5,
            "width": 3,
        },
    }


def _end(row: Data, name: str) -> float:
    """Return an end of the interval; where there is none, the point itself."""
    return float(row["drop"] if row[name] is None else row[name])


def _layout(rows: Sequence[Data]) -> dict[str, Any]:
    names = [wrapped(_phrase(row), 24) for row in rows]
    lines = sum(name.count("<br>") + 1 for name in names)
    ticks: dict[str, Any] = {"tickvals": list(range(len(rows))), "ticktext": names, "range": [len(rows) - 0.5, -0.5], "showgrid": False}
    return layout(
        height=110 + 10 * len(rows) + 16 * lines,
        shapes=[upright(0.0, dash="solid")],
        xaxis=axis("ROC AUC lost"),
        yaxis=axis(**ticks),
        showlegend=False,
    )


def _note(every: int, moved: int, shown: int, users: int) -> str:
    still = f" {every - moved} of {every} changes leave the order of its scores as it was." if moved < every else ""
    left = f" The {shown} largest of {moved} are drawn." if shown < moved else ""
    return (
        f"Events are removed from the histories alone, an aggregate is shuffled among the {users:,} users; what stands for the same in "
        f"another input may take its place.{still}{left}"
    )
