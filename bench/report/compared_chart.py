"""Draw the forecasts of two models on one series, and how each model's error is spread over the series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import clean, plain
from bench.report.chart import Chart, axis, layout, upright, wrapped
from bench.report.figures import step_axis, truth_traces
from bench.report.html import Html, tag
from bench.report.palette import BAND, DASHES, LIGHT, MARK, SHAPES

Data = Mapping[str, Any]
DECILES = (1, 5, 9)
MOST = 25


def compared_chart(figure: Data, pair: Sequence[str]) -> Chart:
    """Draw two models on the leader's median series; the script draws it anew for other pairs."""
    found = figure["compared"]
    series, cutoffs, time = figure["series"][found["series"]], figure["cutoffs"], figure["time"]
    lines = [upright(time[c], "cut-off" if i == 0 else "") for i, c in enumerate(cutoffs)]
    picks = [found["models"][model] for model in pair]
    scores = " and ".join(f"{clean(m)} {plain(p['score'])}" for m, p in zip(pair, picks, strict=True))
    return Chart(
        key="compared",
        title=f"Two models on one series: {clean(series['name'])}",
        finding=f"{figure['metric']} on this series: {scores} (lower is better).",
        traces=[
            *truth_traces(time, series["values"], cutoffs[0]),
            *(trace for at, (m, p) in enumerate(zip(pair, picks, strict=True)) for trace in _forecast(time, cutoffs, m, p, at)),
        ],
        layout=layout(height=380, shapes=lines, hovermode="x unified", xaxis=axis(**step_axis(time))),
        head=("model", figure["metric"]),
        rows=[
            (m, plain(p["score"])) for m, p in sorted(found["models"].items(), key=lambda one: (one[1]["score"] is None, one[1]["score"]))
        ],
        note=f"The leader's median series by {figure['metric']}; bands hold 80 %.",
    )


def compared_form(figure: Data, pair: Sequence[str]) -> Html:
    """Write the choice of two models; without a script the first two stand."""
    models = list(figure["compared"]["models"])
    selects = (
        tag("label", f"{words} ", tag("select", (tag("option", clean(m), value=m, selected=m == own) for m in models), name=name))
        for words, name, own in (("First model", "a", pair[0]), ("Second model", "b", pair[1]))
    )
    return tag("form", selects, class_="controls needs-script", data_choose="compared", data_chart="compared")


def compared_data(figure: Data) -> dict[str, Any]:
    """Return what the script needs to draw any pair."""
    return {"time": figure["time"], "cutoffs": figure["cutoffs"], "metric": figure["metric"], "models": figure["compared"]["models"]}


def spread_chart(figure: Data) -> Chart | None:
    """Draw each model's median error over the series, with the range of the middle eight tenths; None where it was not collected."""
    known = {m: v for m, v in (figure.get("by_series") or {}).items() if len(v) == 11}
    if not known or figure["series_total"] < 3:
        return None
    order = sorted(known, key=lambda m: (m != figure["leader"], known[m][5], m))
    shown = order[:MOST]
    first = known[order[0]]
    left = f" The first {MOST} of {len(order)} models are drawn." if len(order) > MOST else ""
    return Chart(
        key="by-series",
        title=f"Spread over series, {figure['metric']} (lower is better)",
        finding=f"Of {figure['series_total']:,} series {clean(order[0])} errs by less than {plain(first[1])} on a tenth, "
        f"less than {plain(first[5])} on half, and more than {plain(first[9])} on a tenth.",
        traces=[_middle(shown, known)],
        layout=_spread_layout(shown, figure["metric"]),
        head=("model", "least", "tenth", "median", "ninth tenth", "greatest"),
        rows=[(m, *(plain(known[m][at]) for at in (0, 1, 5, 9, 10))) for m in order],
        note=f"Dot: the median series; line: from the tenth to the ninetieth in a hundred.{left}",
    )


def _middle(shown: Sequence[str], known: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    low, middle, high = ([known[m][at] for m in shown] for at in DECILES)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "median series",
        "x": middle,
        "y": list(range(len(shown))),
        "error_x": {
            "type": "data", "symmetric": False, "color": LIGHT[0], "thickness": 2,
            "array": [h - m for h, m in zip(high, middle, strict=True)], "arrayminus": [m - v for v, m in zip(low, middle, strict=True)],
        },
        "marker": {"color": LIGHT[0], "symbol": "circle", "size": 9},
        "hovertemplate": "%{x}<extra></extra>",
    }  # fmt: skip


def _spread_layout(shown: Sequence[str], metric: str) -> dict[str, Any]:
    names = [wrapped(m) for m in shown]
    lines = sum(name.count("<br>") + 1 for name in names)
    ticks: dict[str, Any] = {"tickvals": list(range(len(names))), "ticktext": names, "range": [len(names) - 0.5, -0.5], "showgrid": False}
    return layout(height=110 + 12 * len(names) + 14 * lines, xaxis=axis(metric), yaxis=axis(**ticks), showlegend=False)


def _forecast(time: Sequence[Any], cutoffs: Sequence[int], model: str, pick: Data, at: int) -> list[dict[str, Any]]:
    x: list[Any] = []
    band_x: list[Any] = []
    median: list[Any] = []
    band: list[Any] = []
    for window, cutoff in enumerate(cutoffs):
        own = list(time[cutoff : cutoff + len(pick["median"][window])])
        low, high = (pick[key][window][: len(own)] for key in ("low", "high"))
        x += [*own, None]
        median += [*pick["median"][window][: len(own)], None]
        band_x += [*own, *own[::-1], None]
        band += [*low, *high[::-1], None]
    name = wrapped(model, 28)
    line = {"color": LIGHT[at], "width": 2.2, "dash": DASHES[at + 1]}
    wide = {"fill": "toself", "fillcolor": (BAND, MARK)[at], "line": {"width": 0, "color": LIGHT[at], "dash": DASHES[at + 3]}}
    quiet = {"hoverinfo": "skip", "showlegend": False}
    dots = {"color": LIGHT[at], "symbol": SHAPES[at + 1], "size": 5}
    return [
        {"type": "scatter", "mode": "lines", "name": f"{name}, band", "x": band_x[:-1], "y": band[:-1], **wide, **quiet},
        {"type": "scatter", "mode": "lines+markers", "name": name, "x": x[:-1], "y": median[:-1], "line": line, "marker": dots},
    ]
