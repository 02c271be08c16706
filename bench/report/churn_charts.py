"""Turn collected churn curves into charts: pure functions, dicts in, `Chart` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from bench.board.numbers import clean, plain
from bench.report.chart import Chart, axis, layout, wrapped
from bench.report.palette import GREY, LIGHT, style

Data = Mapping[str, Any]
SHARES = (0.05, 0.1, 0.2, 0.5)
"""Of the users, at which the gain chart's finding and table are read."""


def churn_charts(figure: Data, model: str) -> list[Chart]:
    """Draw one model's curves, with those of the reference beside them; none where the model has no prediction.

    `figure`: of `bench.report.churn_figures.collect`.
    """
    if model not in figure["models"]:
        return []
    return [_gain(figure, model), _reliability(figure, model), _roc(figure, model), _precision(figure, model)]


def read_at(curve: Sequence[Sequence[float]], x: float) -> float:
    """Read a curve of pairs, sorted by their first, at `x`, straight between its points."""
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 <= x <= x1 and x1 > x0:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return curve[-1][1]


def _gain(figure: Data, model: str) -> Chart:
    own = _beside(figure, model)
    rows = [(f"{share:.0%}", *(f"{read_at(figure['models'][m]['gain'], share):.0%}" for m in own)) for share in SHARES]
    tenth = read_at(figure["models"][model]["gain"], 0.1)
    return Chart(
        key="churn-gain",
        title="Churners reached, by share of users asked",
        finding=f"The tenth of users most at risk holds {tenth:.0%} of those who churned, {plain(tenth / 0.1, 1)} times its share.",
        traces=[*_lines(figure, own, "gain"), _straight([0, 1], [0, 1], "by chance")],
        layout=_square("share of users asked, most at risk first", "share of churners among them"),
        head=("users asked", *own),
        rows=rows,
        note=_note(figure),
    )


def _roc(figure: Data, model: str) -> Chart:
    own = _beside(figure, model)
    rows = [(f"{x:.0%}", *(f"{read_at(figure['models'][m]['roc'], x):.0%}" for m in own)) for x in SHARES]
    caught = read_at(figure["models"][model]["roc"], 0.1)
    return Chart(
        key="churn-roc",
        title="ROC: churners found against false alarms",
        finding=f"With one in ten of those who stay alarmed in vain, {caught:.0%} of the churners are found.",
        traces=[*_lines(figure, own, "roc"), _straight([0, 1], [0, 1], "by chance")],
        layout=_square("share of those who stay alarmed in vain", "share of churners found"),
        head=("false alarms", *own),
        rows=rows,
        note=_note(figure),
    )


def _precision(figure: Data, model: str) -> Chart:
    own, base = _beside(figure, model), figure["base_rate"]
    rows = [(f"{x:.0%}", *(f"{read_at(figure['models'][m]['pr'], x):.0%}" for m in own)) for x in (0.1, 0.25, 0.5, 0.75, 1.0)]
    half = read_at(figure["models"][model]["pr"], 0.5)
    return Chart(
        key="churn-pr",
        title="Precision and recall of churn",
        finding=f"Where half of the churners are found, {half:.0%} of those alarmed do churn; {base:.0%} of all users do.",
        traces=[*_lines(figure, own, "pr"), _straight([0, 1], [base, base], "by chance")],
        layout=_square("share of churners found", "churners among those alarmed"),
        head=("churners found", *own),
        rows=rows,
        note=_note(figure),
    )


def _reliability(figure: Data, model: str) -> Chart:
    own = _beside(figure, model)
    traces = []
    for at, name in enumerate(own):
        found = figure["models"][name]["bins"]
        spread = {
            "type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
            "array": [b["high"] - b["rate"] for b in found], "arrayminus": [b["rate"] - b["low"] for b in found],
        }  # fmt: skip
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": wrapped(name, 28), **style(at),
            "x": [b["mean"] for b in found], "y": [b["rate"] for b in found], "error_y": {**spread, "color": LIGHT[at]},
            "text": [f"{b['n']:,} users" for b in found],
        })  # fmt: skip
    bins = figure["models"][model]["bins"]
    inside = sum(b["low"] <= b["mean"] <= b["high"] for b in bins)
    return Chart(
        key="churn-reliability",
        title="Calibration: predicted against actual churn",
        finding=f"In {inside} of {len(bins)} groups of users the predicted rate lies inside the 95 % interval of the actual one.",
        traces=[*traces, _straight([0, 1], [0, 1], "calibrated")],
        layout=_square("predicted P(churn), mean of the group", "share that churned"),
        head=("model", "predicted", "churned", "95 % interval", "users"),
        rows=[
            (clean(name), plain(b["mean"]), plain(b["rate"]), f"{plain(b['low'])} to {plain(b['high'])}", f"{b['n']:,}")
            for name in own
            for b in figure["models"][name]["bins"]
        ],
        note=f"Groups of equal size by predicted probability; {_note(figure)[0].lower()}{_note(figure)[1:]}",
    )


def _beside(figure: Data, model: str) -> list[str]:
    """List the model and the one it is drawn against."""
    other = figure["reference"]
    return [model, *([other] if other != model and other in figure["models"] else [])]


def _lines(figure: Data, models: Sequence[str], what: str) -> list[dict[str, Any]]:
    traces = []
    for at, model in enumerate(models):
        x, y = zip(*figure["models"][model][what], strict=True)
        traces.append(
            {"type": "scatter", "mode": "lines", "name": wrapped(model, 28), "x": list(x), "y": list(y), "line": style(at)["line"]}
        )
    return traces


def _straight(x: Sequence[float], y: Sequence[float], name: str) -> dict[str, Any]:
    line = {"color": GREY, "dash": "dot", "width": 1.2}
    return {"type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": list(y), "line": line, "hoverinfo": "skip"}


def _square(x: str, y: str) -> dict[str, Any]:
    """Lay out two shares; percent on both axes."""
    share = {"range": [-0.02, 1.02], "tickformat": ".0%"}
    return layout(height=380, hovermode="closest", xaxis=axis(x, **share), yaxis=axis(y, **share))


def _note(figure: Data) -> str:
    return f"On the {figure['users']:,} test users at {figure['cutoff']}."
