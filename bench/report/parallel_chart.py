"""Draw a search in parallel coordinates: a line a trial, an axis a parameter, the better third in colour."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from bench.board.numbers import clean, plain
from bench.report.chart import Chart, axis, layout, mark, wrapped
from bench.report.palette import GREY, INK, LIGHT

Trial = Mapping[str, Any]
WIDE = 20
"""Ratio of greatest to least above which an axis is logarithmic."""
LEAST, MOST, MOST_AXES = 4, 60, 8
"""Trials below which nothing is drawn; trials drawn, the best first; parameters drawn."""


def parallel_chart(trials: Sequence[Trial], order: Sequence[str], label: str, *, higher: bool) -> Chart | None:
    """Draw the trials that scored; `order`: parameters, the most important first. None where there is too little to see."""
    scored = [(t["value"], json.loads(t["params"]), t["number"]) for t in trials if t["status"] == "ok" and t.get("value") is not None]
    names = _varied([params for _, params, _ in scored], order)
    if len(scored) < LEAST or not names:
        return None
    scored.sort(key=lambda one: (-one[0] if higher else one[0], one[2]))
    shown = scored[:MOST]
    places = {name: _places([params.get(name) for _, params, _ in scored]) for name in names}
    values = [value for value, _, _ in scored]
    places[""] = _places(values)
    good = max(1, len(shown) // 3)
    traces = [_line(shown[at], at, names, places, good) for at in reversed(range(len(shown)))]
    best = shown[0]
    told = ", ".join(f"{clean(name)} {_format_value(best[1].get(name))}" for name in names[:3])
    columns = [*names, ""]
    return Chart(
        key="parallel",
        title=f"Trials in parallel coordinates, to their valid {label}",
        finding=f"The best trial, number {best[2]} with valid {label} {plain(best[0])}, has {told}.",
        traces=traces,
        layout=layout(
            height=380,
            margin={"l": 40, "r": 40, "t": 32, "b": 70},
            xaxis=axis(
                tickvals=list(range(len(columns))), ticktext=[*(wrapped(n, 14) for n in names), f"valid {mark(label)}"], showgrid=True
            ),
            yaxis=axis(range=[-0.12, 1.12], visible=False),
            annotations=[note for at, name in enumerate(columns) for note in _ends(at, places[name])],
        ),
        head=("trial", f"valid {label}", *names),
        rows=[(str(n), plain(value), *(_format_value(params.get(name)) for name in names)) for value, params, n in scored],
        note=f"A line a trial, each axis from its least to its greatest value{_few(len(scored), len(names), order)}.",
    )


def _few(trials: int, names: int, order: Sequence[str]) -> str:
    drawn = f"; the best {MOST} of {trials} trials are drawn" if trials > MOST else ""
    return drawn + (f"; the {names} most important of {len(order)} parameters" if len(order) > names else "")


def _varied(found: Sequence[Mapping[str, Any]], order: Sequence[str]) -> list[str]:
    every = list(dict.fromkeys([*order, *sorted({name for params in found for name in params})]))
    return [name for name in every if len({repr(params.get(name)) for params in found}) > 1][:MOST_AXES]


def _places(values: Sequence[Any]) -> dict[str, Any]:
    """Place the values of one axis between 0 and 1: numbers by size (of wide ranges by its logarithm), words one above the other."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        low, high = min(numbers), max(numbers)
        turn = log if low > 0 and high / low > WIDE else float
        at = {repr(v): (turn(v) - turn(low)) / ((turn(high) - turn(low)) or 1) for v in numbers}
        return {"at": at, "ends": [(0.0, _format_value(low)), (1.0, _format_value(high))]}
    words = sorted({_format_value(v) for v in values})
    at = {repr(v): words.index(_format_value(v)) / max(len(words) - 1, 1) for v in values}
    return {"at": at, "ends": [(n / max(len(words) - 1, 1), word) for n, word in enumerate(words)]}


def _ends(x: int, places: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Write what stands at the ends of an axis, or its words, beside it."""
    base = {"x": x, "showarrow": False, "xanchor": "center", "font": {"size": 12, "color": INK}}
    return [{**base, "y": y, "yshift": 13 if y > 0.5 else -13, "text": mark(text)} for y, text in places["ends"]]


def _line(one: tuple[float, Mapping[str, Any], int], at: int, names: Sequence[str], places: Mapping[str, Any], good: int) -> dict[str, Any]:
    value, params, number = one
    y = [places[name]["at"][repr(params.get(name))] for name in names] + [places[""]["at"][repr(value)]]
    better = at < good
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(range(len(y))),
        "y": [round(v, 4) for v in y],
        "name": f"the better third ({good})" if better else "other trials",
        "legendgroup": "better" if better else "other",
        "showlegend": at in {0, good},
        "text": f"trial {number}: {plain(value)}",
        "hoverinfo": "text",
        "line": {"color": LIGHT[0], "width": 2, "dash": "solid"} if better else {"color": GREY, "width": 1, "dash": "dot"},
        "marker": {"color": LIGHT[0] if better else GREY, "symbol": "circle" if better else "x", "size": 6},
    }


def _format_value(value: Any) -> str:
    if value is None:
        return "not set"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
