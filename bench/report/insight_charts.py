"""Draw what a churn model shows of itself: a map of users by its embedding, and its weights by the age of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.board.numbers import clean
from bench.metrics.rounding import rounded
from bench.report.chart import Chart, axis, layout
from bench.report.churn_charts import percent
from bench.report.palette import INK, LIGHT, SHAPES

Data = Mapping[str, Any]
BANDS = 4
"""Colours of the map."""
COLOURS = (LIGHT[0], LIGHT[2], LIGHT[3], LIGHT[1])
"""From the lowest rate to the highest; each band has a shape of its own as well."""
SMALLEST, LARGEST = 7.0, 24.0
"""Pixels of a dot."""


def insight_gap(figure: Data, model: str) -> str:
    """Explain why nothing is drawn of what a model would show; empty where something is, or where it has no such method."""
    found = figure.get("insights", {}).get(model)
    return f"What {clean(model)} shows of itself is not known: {clean(found['reason'])}." if found and found["reason"] else ""


def insight_charts(figure: Data, model: str) -> list[Chart]:
    """Draw what there is of one model: its map, its weights by age."""
    found = figure.get("insights", {}).get(model)
    if not found or found["reason"]:
        return []
    return [*([map_chart(found, model)] if "map" in found else []), *([ages_chart(found, model)] if "ages" in found else [])]


def map_chart(found: Data, model: str) -> Chart:
    """Draw the cells of a map twice, coloured by what happened and by what the model says; both by the same bands."""
    one = found["map"]
    cells = one["cells"]
    edges = band_edges(cells)
    counted = sum(cell["n"] for cell in cells)
    first, second = (percent(share) for share in one["shares"])
    left = one["users"] - counted
    return Chart(
        key="map",
        title=f"Map of users by the embedding of {clean(model)}",
        finding=_map_finding(one, cells),
        traces=[*_dots(cells, edges, "rate", "x", "y"), *_dots(cells, edges, "score", "x2", "y2")],
        layout=layout(
            height=640,
            xaxis=axis("", anchor="y"),
            yaxis=axis("second direction", domain=[0.55, 0.96]),
            xaxis2=axis("first direction", anchor="y2"),
            yaxis2=axis("second direction", domain=[0, 0.41], anchor="x2"),
            annotations=[_heading("by who churned", 0.97), _heading("by what was predicted", 0.42)],
        ),
        head=("cell, first direction", "second direction", "users", "churned", "predicted, mean"),
        rows=[(f"{c['x']:.3g}", f"{c['y']:.3g}", f"{c['n']:,}", percent(c["rate"]), percent(c["score"])) for c in cells],
        note=f"The directions hold {first} and {second} of the variance. One dot a cell, its size by the users in it, its colour and shape "
        f"by the share that churned or was predicted to; {left:,} users in cells of fewer than five are left out.{_first_of(found)}",
    )


def _heading(text: str, y: float) -> dict[str, Any]:
    """Name one panel, at its upper left."""
    place = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": y, "yanchor": "bottom", "showarrow": False}
    return {**place, "text": text, "font": {"size": 13, "color": INK}}


def band_edges(cells: Sequence[Data]) -> list[float]:
    """Part the cells into bands of the churn rate that hold about as many users each: the edges between them, rising."""
    if not cells:
        return []
    order = sorted(cells, key=lambda cell: float(cell["rate"]))
    reached = np.cumsum([cell["n"] for cell in order]) / sum(cell["n"] for cell in order)
    at = [int(np.searchsorted(reached, k / BANDS)) for k in range(1, BANDS)]
    # an edge at the lowest rate of all would have a band without users below it
    return sorted({float(order[i]["rate"]) for i in at} - {float(order[0]["rate"])})


def _dots(cells: Sequence[Data], edges: Sequence[float], by: str, x: str, y: str) -> list[dict[str, Any]]:
    bands = [int(np.searchsorted(edges, cell[by], side="right")) for cell in cells]
    most = max((cell["n"] for cell in cells), default=1)
    made = []
    for band in range(len(edges) + 1):
        own = [cell for cell, b in zip(cells, bands, strict=True) if b == band]
        sizes = [round(SMALLEST + (LARGEST - SMALLEST) * float(np.sqrt(cell["n"] / most)), 1) for cell in own]
        made.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": _band_name(edges, band),
                "legendgroup": str(band),
                # a band that only one panel has stands in the legend all the same
                "showlegend": by == "rate",
                "x": [cell["x"] for cell in own],
                "y": [cell["y"] for cell in own],
                "xaxis": x,
                "yaxis": y,
                "text": [f"{cell['n']:,} users: {percent(cell['rate'])} churned, {percent(cell['score'])} predicted" for cell in own],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": COLOURS[band], "symbol": SHAPES[band], "size": sizes, "opacity": 0.85},
            }
        )
    return made


def _band_name(edges: Sequence[float], band: int) -> str:
    if not edges:
        return "all"
    if band == 0:
        return f"below {percent(edges[0])}"
    return f"{percent(edges[band - 1])} or more" if band == len(edges) else f"{percent(edges[band - 1])} to {percent(edges[band])}"


def _map_finding(one: Data, cells: Sequence[Data]) -> str:
    held = f"Two directions hold {percent(sum(one['shares']))} of the variance of its {one['numbers']} numbers a user"
    if len(cells) < 2:
        return f"{held}; the users lie in one place."
    # ordered by what it predicts: ordered by what happened, chance alone would part them
    order = sorted(cells, key=lambda cell: float(cell["score"]))
    low, high = _quarter(order), _quarter(order[::-1])
    quarters = f"{percent(low)} of the quarter of the users where it predicts least churned, {percent(high)} where it predicts most"
    return f"{held}; {quarters}."


def _quarter(order: Sequence[Data]) -> float:
    """Return the share that churned in the first cells, up to a quarter of the users."""
    room, users, gone = sum(cell["n"] for cell in order) / 4, 0, 0.0
    for cell in order:
        users, gone = users + cell["n"], gone + cell["n"] * cell["rate"]
        if users >= room:
            break
    return gone / users


def ages_chart(found: Data, model: str) -> Chart:
    """Draw the share of the weight by the age of the events, beside what equal weights would give."""
    ages = found["ages"]
    names = [age_name(one) for one in ages]
    return Chart(
        key="ages",
        title=f"Attention by age of event: {clean(model)}",
        finding=_ages_finding(ages, names),
        traces=[_bars(ages, names), _even(ages, names)],
        layout=layout(
            height=400,
            xaxis=axis("age of the event: days before the cut-off", type="category"),
            yaxis=axis("share of the weight", tickformat=".0%", rangemode="tozero"),
        ),
        head=("age of the event", "users with one", "share of the weight", "95 % interval", "with equal weights"),
        rows=[
            (name, f"{one['users']:,}", percent(one["share"]), f"{percent(one['low'])} to {percent(one['high'])}", percent(one["even"]))
            for name, one in zip(names, ages, strict=True)
        ],
        note=f"Mean over {found['users']:,} test users, each of whom counts once; intervals by resampling users. Weights tell where a "
        f"model looks, not what changes its answer.{_first_of(found)}",
    )


def age_name(one: Data) -> str:
    """Name a range of ages in days."""
    if one["to"] is None:
        return f"{one['from']} or more"
    return f"under {one['to']}" if one["from"] == 0 else f"{one['from']} to {one['to']}"


def _ages_finding(ages: Sequence[Data], names: Sequence[str]) -> str:
    sure = [at for at, one in enumerate(ages) if one["low"] > one["even"]]
    at = max(sure or range(len(ages)), key=lambda i: float(ages[i]["share"] - ages[i]["even"]))
    one = ages[at]
    words = f"Events {names[at]} days old hold {percent(one['share'])} of the weight ({percent(one['low'])} to {percent(one['high'])})"
    even = f"with equal weights it would be {percent(one['even'])}"
    return f"{words}; {even}." if sure else f"{words}; {even}, so that no age is clearly preferred."


def _bars(ages: Sequence[Data], names: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": "weight",
        "x": list(names),
        "y": [one["share"] for one in ages],
        "width": 0.62,
        "hovertemplate": "%{x} days: %{y:.1%}<extra></extra>",
        "marker": {"color": LIGHT[0]},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [rounded(one["high"] - one["share"]) for one in ages],
            "arrayminus": [rounded(one["share"] - one["low"]) for one in ages],
            "color": LIGHT[1],
            "thickness": 1.5,
            "width": 3,
        },
    }


def _even(ages: Sequence[Data], names: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "with equal weights",
        "x": list(names),
        "y": [one["even"] for one in ages],
        "hovertemplate": "equal weights: %{y:.1%}<extra></extra>",
        "line": {"dash": "solid"},
        "marker": {"color": INK, "symbol": "diamond", "size": 9},
    }


def _first_of(found: Data) -> str:
    return f" The fit is a mean of {found['of']} configurations, of which the first is shown." if found["of"] > 1 else ""
