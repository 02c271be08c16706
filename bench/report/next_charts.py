"""Draw what a board of next events holds beside its ranking: repeats and new items, users of few and many events, recall, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import clean, plain, span
from bench.board.schema import Row
from bench.metrics.rounding import rounded
from bench.report.chart import FIRST, Chart, axis, layout, mark, wrapped
from bench.report.palette import GREY, LIGHT, SHAPES, style

Detail = Mapping[str, Any]
"""A line of `details.parquet`: `model`, `targets`, `k`, `recall`."""
Part = tuple[str, str]
"""A metric and what it is of."""
NOVELTY: tuple[Part, Part] = (("ndcg_10_repeat", "had before"), ("ndcg_10_explore", "new to the user"))
ACTIVITY: tuple[Part, Part] = (("ndcg_10_few", "fewer than ten events"), ("ndcg_10_many", "ten events or more"))
APART = 0.3
"""Distance of a model's two dots from each other, in rows: their intervals would hide one another."""
SIDES = ("top center", "bottom center", "middle right", "middle left")
COLOURED = len(LIGHT)
"""Models with a colour of their own; the others are grey."""


def next_charts(rows: Sequence[Row], details: Sequence[Detail]) -> list[Chart]:
    """Make the charts of one board, `rows` as its table orders them; none where no items were ranked."""
    shown = [row for row in rows if row["status"] == "ok" and row.get("ndcg_10") is not None]
    novelty = _parts_chart(shown[:FIRST], NOVELTY, "novelty", "nDCG@10 of items that the user had before, and of new ones")
    activity = _parts_chart(shown[:FIRST], ACTIVITY, "activity", "nDCG@10 of users by their events before the test")
    found = (novelty, activity, _recall_lines(details, [row["model"] for row in shown]), _coverage(shown))
    return [chart for chart in found if chart is not None]


def _parts_chart(rows: Sequence[Row], parts: tuple[Part, Part], key: str, title: str) -> Chart | None:
    """Draw two metrics of each model with their 95 % intervals; None where neither was measured."""
    known = [(metric, name) for metric, name in parts if any(row.get(metric) is not None for row in rows)]
    if not known:
        return None
    first = rows[0]
    said = " and ".join(f"{plain(first.get(metric))} ({name})" for metric, name in known)
    missing = "".join(f" No target of the test is of a case of '{name}'." for part in parts if part not in known for name in part[1:])
    names = [wrapped(row["model"]) for row in rows]
    lines = sum(name.count("<br>") + 1 for name in names)
    ticks: dict[str, Any] = {"tickvals": list(range(len(rows))), "ticktext": names, "range": [len(rows) - 0.5, -0.5], "showgrid": False}
    return Chart(
        key=key,
        title=f"{title} (higher is better)",
        finding=f"{clean(first['model'])}, first on the board, reaches {said}.",
        traces=[_dots(rows, metric, name, parts.index((metric, name))) for metric, name in known],
        layout=layout(height=120 + 10 * len(rows) + 16 * lines, xaxis=axis("nDCG@10", rangemode="tozero"), yaxis=axis(**ticks)),
        head=("model", *(head for _, name in known for head in (name, f"95 % interval, {name}"))),
        rows=[(row["model"], *(word for metric, _ in known for word in _words(row, metric))) for row in rows],
        note=f"Bars: 95 % intervals by user.{missing}",
    )


def _words(row: Row, metric: str) -> tuple[str, str]:
    if row.get(metric) is None:
        return "not measured", "none"
    return plain(row[metric]), span(row.get(f"{metric}_low"), row.get(f"{metric}_high"))


def _dots(rows: Sequence[Row], metric: str, name: str, at: int) -> dict[str, Any]:
    own = [(y, row) for y, row in enumerate(rows) if row.get(metric) is not None]
    bars = [_bars(row, metric) for _, row in own]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [rounded(row[metric]) for _, row in own],
        "y": [y + (at - 0.5) * APART for y, _ in own],
        "text": [mark(row["model"]) for _, row in own],
        "hovertemplate": "%{text}: %{x:.4f}<extra></extra>",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [up for _, up in bars],
            "arrayminus": [down for down, _ in bars],
            "color": LIGHT[at],
            "thickness": 2,
        },
        "marker": {"color": LIGHT[at], "symbol": SHAPES[at], "size": 9},
        "line": {"dash": "solid"},
    }


def _bars(row: Row, metric: str) -> tuple[Any, Any]:
    """Return how far a metric's interval reaches below and above it; 0 where there is none."""
    x, low, high = row[metric], row.get(f"{metric}_low"), row.get(f"{metric}_high")
    return rounded(x - low if low is not None else 0.0), rounded(high - x if high is not None else 0.0)


def _recall_lines(details: Sequence[Detail], models: Sequence[str]) -> Chart | None:
    """Draw recall at k over all targets, a line a model; None where it was not measured."""
    own = [d for d in details if d.get("targets") == "all" and d.get("recall") is not None]
    by = {model: {d["k"]: d["recall"] for d in own if d["model"] == model} for model in models}
    by = {model: found for model, found in by.items() if found}
    if not by:
        return None
    ks = sorted({k for found in by.values() for k in found})
    first, found = next(iter(by.items()))
    longest = max(found)
    return Chart(
        key="recall",
        title="Recall by length of the list (higher is better)",
        finding=f"Among the first {longest:,} of {clean(first)} stand {plain(found[longest])} of all targets.",
        # the first models are drawn last, above the grey ones
        traces=[_line(model, sorted(found.items()), at) for at, (model, found) in reversed(list(enumerate(by.items())))],
        layout=layout(
            height=400, xaxis=axis("length of the list, k", type="log", tickvals=ks), yaxis=axis("recall at k", rangemode="tozero")
        ),
        head=("model", *(f"recall at {k}" for k in ks)),
        rows=[(model, *(plain(found.get(k)) for k in ks)) for model, found in by.items()],
        note=f"In colour: the first {COLOURED} of the board." if len(by) > COLOURED else "",
    )


def _line(model: str, points: Sequence[tuple[int, float]], at: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": mark(model),
        "showlegend": at < COLOURED,
        "legendrank": at + 1,
        "x": [k for k, _ in points],
        "y": [rounded(recall) for _, recall in points],
        **style(at),
    }


def _coverage(rows: Sequence[Row]) -> Chart | None:
    """Draw how much of the catalogue a model shows against how well it ranks; None where it was not measured."""
    shown = [row for row in rows if row.get("coverage_10") is not None]
    if not shown:
        return None
    widest = max(shown, key=lambda row: float(row["coverage_10"]))
    first = shown[0]
    return Chart(
        key="catalogue",
        title="How much of the catalogue is shown: coverage@10 against nDCG@10",
        finding=(
            f"{clean(first['model'])}, first on the board, puts {first['coverage_10']:.1%} of the catalogue among somebody's first ten; "
            f"the widest, {clean(widest['model'])}, {widest['coverage_10']:.1%} at an nDCG@10 of {plain(widest['ndcg_10'])}."
        ),
        traces=[
            {
                "type": "scatter",
                "mode": "markers+text" if at < COLOURED else "markers",
                "name": mark(row["model"]),
                "showlegend": False,
                "x": [rounded(row["coverage_10"])],
                "y": [rounded(row["ndcg_10"])],
                "text": [mark(row["model"])],
                # neighbours on the board often lie close: their names stand on different sides
                "textposition": SIDES[at % len(SIDES)],
                "cliponaxis": False,
                "hovertemplate": "%{text}: coverage %{x:.1%}, nDCG@10 %{y:.4f}<extra></extra>",
                "marker": {"color": LIGHT[at] if at < COLOURED else GREY, "symbol": SHAPES[at % len(SHAPES)], "size": 10},
            }
            for at, row in enumerate(shown)
        ],
        layout=layout(
            height=420,
            xaxis=axis("coverage@10, share of the catalogue", tickformat=".0%", rangemode="tozero"),
            yaxis=axis("nDCG@10", rangemode="tozero"),
        ),
        head=("model", "coverage@10", "nDCG@10", "popular@10"),
        rows=[(row["model"], plain(row["coverage_10"]), plain(row["ndcg_10"]), plain(row.get("popular_10"))) for row in shown],
        note="popular@10: share of the first ten places that the most popular tenth of the catalogue takes.",
    )
