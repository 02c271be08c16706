"""Charts of a leaderboard: differences to the leader, and score against seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.board.metrics import ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain, seconds, signed, span
from bench.board.ranking import merit
from bench.board.recommend import cost
from bench.board.schema import Row
from bench.metrics.rounding import rounded
from bench.report.chart import FIRST, Chart, axis, layout, mark, upright, wrapped
from bench.report.interval_strip import scale
from bench.report.palette import GREY, INK, LIGHT, SHADE

LABELS = 8
"""Points of the front that are named in the chart, the best; hover and table name all."""
FAR = 2.0
"""Times the contenders' scale beyond which a model stands at its edge, as an arrow with its number."""
LEAST = 0.05
"""Seconds at which the axis begins: faster models stand there, since a logarithm has no 0."""


def forest_chart(rows: Sequence[Row]) -> Chart | None:
    """Draw how far each model is behind the leader, with its interval; `rows` scored, as the table orders them."""
    shown = [row for row in rows if row["status"] == "ok" and row.get("behind") is not None]
    if len(shown) < 2:
        return None
    label, every = ranking_label(shown[0]), len(shown)
    tied = [at for at, row in enumerate(shown) if at == 0 or row.get("tied")]
    finding, first = _forest_finding(shown, tied, label), "leads" if shown[0].get("rank") is not None else "not ranked"
    shown, tied = shown[:FIRST], [at for at in tied if at < FIRST]
    left = f" The first {FIRST} of {every} models are drawn." if every > FIRST else ""
    beyond = "" if math.isinf(edge_of(shown)) else " Those beyond the scale stand at its edge, with their number."
    return Chart(
        key="forest",
        title=f"How far behind the {'leader' if first == 'leads' else 'best score'}, in test {label}",
        finding=finding,
        traces=_forest_traces(shown, tied),
        layout=_forest_layout(shown, tied, label),
        head=("model", f"behind in test {label}", "95 % interval", "tied with the leader"),
        rows=[
            (
                row["model"],
                signed(row["behind"]),
                span(row.get("behind_low"), row.get("behind_high"), signed),
                first if at == 0 or first == "not ranked" else "yes" if at in tied else "no",
            )
            for at, row in enumerate(shown)
        ],
        note=f"The paired difference on the same rows; 0 is level with the leader, further right is worse.{beyond}{left}",
    )


def pareto_chart(rows: Sequence[Row]) -> Chart | None:
    """Draw score against seconds, with the models that no other beats in both joined by a stepped line."""
    shown = [row for row in rows if row["status"] == "ok" and row.get(ranking_metric(row)[0]) is not None]
    if len(shown) < 2:
        return None
    metric, higher = ranking_metric(shown[0])
    label, better = ranking_label(shown[0]), way(higher=higher)
    front = front_of(shown)
    beaten = [row for row in shown if row not in front]
    return Chart(
        key="pareto",
        title=f"Score against time: test {label} ({better} is better)",
        finding=_pareto_finding(front, len(shown), metric),
        traces=[_front(front, metric), _points(beaten, metric)],
        layout=layout(
            height=380,
            xaxis=axis("seconds for search, fit and predict (log scale)", type="log"),
            yaxis=axis(f"test {label}, {better} is better"),
            annotations=[_label(row, metric, at) for at, row in enumerate(front[-LABELS:])],
        ),
        head=("model", f"test {label}", "seconds", "beaten in both"),
        rows=[
            (row["model"], plain(row[metric]), seconds(fit_seconds_of(row)), "no" if row in front else "yes") for row in shown[: 2 * FIRST]
        ],
        note=f"Below {LEAST} s a model stands at {LEAST} s.",
    )


def _pareto_finding(front: Sequence[Row], count: int, metric: str) -> str:
    quick, best = (f"{clean(row['model'])} ({plain(row[metric])} in {seconds(fit_seconds_of(row))} s)" for row in (front[0], front[-1]))
    if len(front) == 1:
        return f"{quick} is both the quickest and the best of {count} models."
    return f"{len(front)} of {count} models are not beaten in both; the quickest is {quick}, the best {best}."


def fit_seconds_of(row: Row) -> float:
    """Return the seconds that a row took, as `bench.board.recommend.cost` counts them."""
    found = row.get("seconds")
    return cost(row, ()) if found is None else float(found)


def front_of(rows: Sequence[Row]) -> list[Row]:
    """Choose the models that no other beats in both score and seconds, the quickest first."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda row: (fit_seconds_of(row), -merit(row), row["model"])):
        if not found or merit(row) > merit(found[-1]):
            found.append(row)
    return found


def _forest_finding(rows: Sequence[Row], tied: Sequence[int], label: str) -> str:
    last = rows[-1]
    if rows[0].get("rank") is None:
        return f"Underpowered: nothing is ranked; {clean(rows[0]['model'])} has the best test {label}, which may be chance."
    apart = len(rows) - len(tied)
    worst = f"; {clean(last['model'])} is {plain(last['behind'])} behind" if apart else ""
    return (
        f"{clean(rows[0]['model'])} leads by test {label}; {len(tied) - 1} of {len(rows) - 1} others are statistically tied with it{worst}."
    )


def edge_of(rows: Sequence[Row]) -> float:
    """Return where the scale ends: it is that of the contenders where floors lie far beyond; else infinite."""
    _, high = scale([(row.get("behind_low"), row["behind"], row.get("behind_high")) for row in rows], zero=True)
    return high if max(row["behind"] for row in rows) > FAR * high else math.inf


def _forest_traces(rows: Sequence[Row], tied: Sequence[int]) -> list[dict[str, Any]]:
    ranked = rows[0].get("rank") is not None
    first, others = ("tied with the leader", "behind") if ranked else ("best score", "other scores, nothing is ranked")
    kinds = ((first, "circle", LIGHT[0], True), (others, "square", LIGHT[1], False))
    beyond = [(at, row) for at, row in enumerate(rows) if row["behind"] > edge_of(rows)]
    return [*(_forest_trace(rows, tied, *kind) for kind in kinds), *([_arrows(beyond, edge_of(rows))] if beyond else [])]


def _arrows(beyond: Sequence[tuple[int, Row]], edge: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": "beyond the scale",
        "x": [rounded(edge) for _ in beyond],
        "y": [at for at, _ in beyond],
        "text": [plain(row["behind"]) for _, row in beyond],
        "textposition": "middle left",
        "textfont": {"size": 12, "color": INK},
        "hoverinfo": "skip",
        "marker": {"color": LIGHT[1], "symbol": "triangle-right", "size": 10},
        "line": {"dash": "solid"},
    }


def _forest_trace(rows: Sequence[Row], tied: Sequence[int], name: str, shape: str, colour: str, inside: bool) -> dict[str, Any]:
    edge = edge_of(rows)
    own = [(at, row) for at, row in enumerate(rows) if (at in tied) == inside and row["behind"] <= edge]
    ends = [(row.get("behind_low"), row["behind"], row.get("behind_high")) for _, row in own]
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [rounded((h if h is not None else x) - x) for _, x, h in ends],
        "arrayminus": [rounded(x - (low if low is not None else x)) for low, x, _ in ends],
        "color": colour,
        "thickness": 2,
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [rounded(x) for _, x, _ in ends],
        "y": [at for at, _ in own],
        "text": [mark(row["model"]) for _, row in own],
        "hovertemplate": "%{text}: %{x}<extra></extra>",
        "error_x": bars,
        "marker": {"color": colour, "symbol": shape, "size": 9},
        "line": {"dash": "solid"},
    }


def _forest_layout(rows: Sequence[Row], tied: Sequence[int], label: str) -> dict[str, Any]:
    names = [wrapped(row["model"]) for row in rows]
    lines = sum(name.count("<br>") + 1 for name in names)
    shade = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": -0.5, "y1": max(tied) + 0.5, "fillcolor": SHADE, "line": {"width": 0}}
    ticks: dict[str, Any] = {"tickvals": list(range(len(rows))), "ticktext": names, "range": [len(rows) - 0.5, -0.5], "showgrid": False}
    ranked, edge = rows[0].get("rank") is not None, edge_of(rows)
    lowest = min((row["behind_low"] for row in rows if row.get("behind_low") is not None), default=0.0)
    room = {} if math.isinf(edge) else {"range": [min(lowest, 0.0) - 0.05 * edge, 1.03 * edge]}
    return layout(
        height=110 + 18 * len(rows) + 16 * lines,
        shapes=[*([{**shade, "layer": "below"}] if ranked else []), upright(0.0, dash="solid")],
        xaxis=axis(f"behind in test {label}" + (" (0: level with the leader)" if ranked else ""), **room),
        yaxis=axis(**ticks),
    )


def _front(rows: Sequence[Row], metric: str) -> dict[str, Any]:
    look = {"line": {"color": LIGHT[0], "dash": "solid", "width": 1.5, "shape": "hv"}}
    return {**_points(rows, metric), "name": "not beaten in both", "mode": "lines+markers", **look, "marker": _dots(LIGHT[0], "circle")}


def _points(rows: Sequence[Row], metric: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "beaten in both",
        "x": [rounded(max(fit_seconds_of(row), LEAST)) for row in rows],
        "y": [rounded(row[metric]) for row in rows],
        "text": [mark(row["model"]) for row in rows],
        "hovertemplate": "%{text}: %{y} in %{x} s<extra></extra>",
        "marker": _dots(GREY, "diamond"),
    }


def _dots(colour: str, shape: str) -> dict[str, Any]:
    return {"color": colour, "symbol": shape, "size": 10}


def _label(row: Row, metric: str, at: int) -> dict[str, Any]:
    from math import log10

    # neighbours on the front take turns above and below, so that their names do not lie on each other
    place = {
        "x": rounded(log10(max(fit_seconds_of(row), LEAST))),
        "y": rounded(row[metric]),
        "showarrow": False,
        "yshift": (16, -16)[at % 2],
    }
    return {**place, "text": wrapped(row["model"]), "font": {"size": 12, "color": INK}}
