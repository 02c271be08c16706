"""Turn collected churn figures into charts: gain, ROC and precision-recall, reliability, and rates by cut-off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.board.drift import drift_sentence
from bench.board.numbers import ABSENT, clean, plain, span
from bench.report.chart import Chart, axis, layout, mark, upright, wrapped
from bench.report.churn_figures import FALSE_ALARMS, RECALLS, TOP, thinned
from bench.report.palette import DASHES, GREY, INK, LIGHT, SHAPES
from bench.report.rounding import short

Data = Mapping[str, Any]
COLOURED = 4
"""Models whose lines have a colour on a page of many; the others are grey."""
FEW_POINTS = 30
"""Points of a grey line."""
FEW_CASES = 20
"""Bins with fewer users are drawn hollow."""


def ordered_churn(figure: Data) -> list[str]:
    """List the models that a figure shows: leader, reference, then by ROC AUC."""
    models, first = figure["models"], (figure["leader"], figure["reference"])
    return sorted(models, key=lambda m: (m != first[0], m != first[1], -(models[m]["auc"] or 0), m))


def beside(figure: Data, model: str) -> list[str]:
    """List what a model's own page draws: the model, then leader and reference where they are others."""
    return [model, *(m for m in ordered_churn(figure)[:2] if m != model and m in {figure["leader"], figure["reference"]})]


def gain_chart(figure: Data, models: Sequence[str]) -> Chart:
    """Draw the share of churners caught against the share of users chosen, highest scores first."""
    first, ten = models[0], TOP.index(0.10)
    caught = figure["models"][first]["captured"][ten]
    return Chart(
        key="gain",
        title="Cumulative gain: churners caught by choosing the highest scores",
        finding=f"The 10 % of users that {clean(first)} scores highest hold {_share(caught)} of all churners, "
        f"{plain(caught / TOP[ten], 2)} times as many as 10 % at random.",
        traces=[
            *_lines(figure, models, "gain", "%{text}: %{x:.0%} of users, %{y:.0%} of churners"),
            _diagonal("at random"),
            _marks(figure["models"][first]["captured"]),
        ],
        layout=layout(
            height=430,
            shapes=[upright(share) for share in TOP],
            xaxis=axis("share of users chosen", range=[0, 1.01], tickformat=".0%"),
            yaxis=axis("share of churners caught", range=[0, 1.06], tickformat=".0%"),
        ),
        head=("model", *(f"caught in the top {share:.0%}" for share in TOP), *(f"lift in the top {share:.0%}" for share in TOP)),
        rows=[_gain_row(m, figure["models"][m]["captured"]) for m in models],
        note=f"{_grey(models)}Lift is caught over chosen.",
    )


def curves_chart(figure: Data, models: Sequence[str]) -> Chart:
    """Draw the ROC curves above and the precision-recall curves below; base rate and chance as lines."""
    base = figure["base_rate"]
    aucs = ", ".join(f"{clean(m)} {plain(figure['models'][m]['auc'])}" for m in models[:2])
    below = {"xaxis": "x2", "yaxis": "y2", "showlegend": False}
    recall = _lines(figure, models, "pr", "%{text}: recall %{x:.0%}, precision %{y:.0%}")
    flat = {"type": "line", "xref": "x2", "yref": "y2", "x0": 0, "x1": 1, "y0": base, "y1": base, "line": _thin("dot")}
    word = {"text": "base rate", "textposition": "start", "font": {"size": 12, "color": INK}}
    return Chart(
        key="curves",
        title="ROC and precision-recall",
        finding=f"ROC AUC on the test: {aucs}, at random .5; {_share(base)} of the test users churned.",
        traces=[
            *_lines(figure, models, "roc", "%{text}: %{x:.0%} of stayers, %{y:.0%} of churners"),
            _diagonal("at random"),
            *({**line, **below} for line in recall),
        ],
        layout=layout(
            height=620,
            shapes=[{**flat, "label": word}],
            xaxis=axis("stayers flagged (false positive rate)", range=[0, 1.01], tickformat=".0%", anchor="y"),
            yaxis=axis("churners flagged", range=[0, 1.03], tickformat=".0%", domain=[0.58, 1]),
            xaxis2=axis("churners flagged (recall)", range=[0, 1.01], tickformat=".0%", anchor="y2"),
            yaxis2=axis("precision", range=[0, 1.03], tickformat=".0%", domain=[0, 0.42], anchor="x2"),
        ),
        head=(
            "model", "ROC AUC", *(f"churners flagged with {x:.0%} of stayers" for x in FALSE_ALARMS),
            *(f"precision at recall {x:.0%}" for x in RECALLS),
        ),
        rows=[_curves_row(m, figure["models"][m]) for m in models],
        note=_grey(models).strip(),
    )  # fmt: skip


def reliability_chart(figure: Data, model: str, key: str = "reliability") -> Chart:
    """Draw predicted against actual churn in bins of equal mass, each cut-off of its own, with the counts below."""
    found = figure["models"][model]["reliability"]
    base = figure["base_rate"]
    flat = {"type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": base, "y1": base, "line": _thin("dot")}
    word = {"text": f"base rate {_share(base)}", "textposition": "end", "font": {"size": 12, "color": INK}}
    dots = [_bin_dots(one, at) for at, one in enumerate(reversed(found))]
    return Chart(
        key=key,
        title=f"Is {clean(model)} calibrated? Predicted against actual churn",
        finding=_reliability_finding(found[-1]),
        traces=[*dots, _diagonal("as predicted"), *(_bin_bars(one, at) for at, one in enumerate(reversed(found)))],
        layout=layout(
            height=480,
            shapes=[{**flat, "label": word}],
            xaxis=axis("predicted churn", range=[-0.01, 1.01], tickformat=".0%", anchor="y2"),
            yaxis=axis("actual rate", range=[-0.02, 1.04], tickformat=".0%", domain=[0.3, 1]),
            yaxis2=axis("users", domain=[0, 0.2], rangemode="tozero", nticks=3),
            barmode="overlay",
        ),
        head=("cut-off", "predicted, mean", "actual rate", "95 % interval", "users"),
        rows=[
            (str(one["cutoff"]), plain(b["mean"]), plain(b["rate"]), span(b["low"], b["high"]), f"{b['n']:,}")
            for one in found
            for b in one["bins"]
        ],
        note=f"Bins of equal mass; intervals by Wilson; hollow: fewer than {FEW_CASES} users.",
    )


def rates_chart(figure: Data, models: Sequence[str]) -> Chart:
    """Draw the actual churn rate at every cut-off, and what models predicted on average at those they were asked for."""
    cutoffs = [one["cutoff"] for one in figure["rates"]]
    lines = [_predicted(figure, m, at) for at, m in enumerate(models)]
    actual = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "actual",
        "x": cutoffs,
        "y": [one["rate"] for one in figure["rates"]],
        "line": {**_thin("solid"), "width": 2},
        "marker": {"color": INK, "symbol": "hexagon", "size": 8},
    }
    known = {m: {one["cutoff"]: one["predicted"] for one in figure["models"][m]["reliability"]} for m in models}
    return Chart(
        key="rates",
        title="Predicted against actual churn rate by cut-off",
        finding=f"{drift(figure, models[0])}.",
        traces=[actual, *lines],
        layout=layout(
            height=360,
            xaxis=axis("cut-off", type="category"),
            yaxis=axis("churn rate", tickformat=".0%", rangemode="tozero"),
        ),
        head=("cut-off", "actual", *(f"predicted by {m}" for m in models)),
        rows=[(one["cutoff"], plain(one["rate"]), *(_asked(known[m], one["cutoff"]) for m in models)) for one in figure["rates"]],
        note="Models are asked at the validation and the test cut-off; the earlier ones are what they learn from.",
    )


def drift(figure: Data, model: str) -> str:
    """Say how a model's predicted rates compare with the actual ones, and whether the log drifts."""
    rates = [{"model": name, **one} for name, own in figure["models"].items() for one in own["reliability"]]
    words = drift_sentence(model, rates, figure["n"][figure["test_cutoff"]])
    return f"{words[0].upper()}{words[1:]}"


def _lines(figure: Data, models: Sequence[str], curve: str, hover: str) -> list[dict[str, Any]]:
    """Give a line a model: grey ones first, so that they lie below, with one word in the legend for all of them."""
    return [_line(figure, models, at, curve, hover) for at in reversed(range(len(models)))]


def _line(figure: Data, models: Sequence[str], at: int, curve: str, hover: str) -> dict[str, Any]:
    model, grey = models[at], at >= COLOURED
    points = np.array(figure["models"][model][curve], float)
    x, y = (thinned(points, FEW_POINTS) if grey else points).T.tolist()
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [short(v) for v in x],
        "y": [short(v) for v in y],
        "text": mark(model),
        "hovertemplate": f"{hover}<extra></extra>",
        "name": f"{len(models) - COLOURED} others" if grey else wrapped(_named(figure, model), 28),
        "legendgroup": "others" if grey else str(at),
        "showlegend": at <= COLOURED,
        "legendrank": at + 1,
        "line": {"color": GREY, "width": 1, "dash": "solid"} if grey else {"color": LIGHT[at], "width": 2.2, "dash": DASHES[at]},
    }


def _marks(captured: Sequence[float]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"at {', '.join(f'{share:.0%}' for share in TOP)}",
        "x": list(TOP),
        "y": list(captured),
        "hoverinfo": "skip",
        "legendrank": COLOURED + 2,
        "line": {"dash": "solid"},
        "marker": {"color": LIGHT[0], "symbol": SHAPES[0], "size": 9},
    }


def _diagonal(name: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": name, "x": [0, 1], "y": [0, 1], "hoverinfo": "skip", "line": _thin("longdashdot")}


def _thin(dash: str) -> dict[str, Any]:
    return {"color": INK, "width": 1.2, "dash": dash}


def _named(figure: Data, model: str) -> str:
    return f"{model} (reference)" if model == figure["reference"] else model


def _bin_dots(one: Data, at: int) -> dict[str, Any]:
    bins, shape = one["bins"], SHAPES[at]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": one["cutoff"],
        "x": [b["mean"] for b in bins],
        "y": [b["rate"] for b in bins],
        "hovertemplate": "predicted %{x:.1%}, actual %{y:.1%}<extra></extra>",
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [short(b["high"] - b["rate"]) for b in bins],
            "arrayminus": [short(b["rate"] - b["low"]) for b in bins],
            "color": LIGHT[at],
            "thickness": 1.5,
            "width": 3,
        },
        "line": {"color": LIGHT[at], "dash": DASHES[at], "width": 1.2},
        "marker": {"color": LIGHT[at], "symbol": [f"{shape}-open" if b["n"] < FEW_CASES else shape for b in bins], "size": 9},
    }


def _bin_bars(one: Data, at: int) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": f"users at {one['cutoff']}",
        "x": [b["mean"] for b in one["bins"]],
        "y": [b["n"] for b in one["bins"]],
        "width": 0.012,
        "yaxis": "y2",
        "showlegend": False,
        "hovertemplate": "%{y} users<extra></extra>",
        "marker": {"color": LIGHT[at]},
    }


def _predicted(figure: Data, model: str, at: int) -> dict[str, Any]:
    found = figure["models"][model]["reliability"]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"predicted by {wrapped(_named(figure, model), 28)}",
        "x": [one["cutoff"] for one in found],
        "y": [one["predicted"] for one in found],
        "line": {"color": LIGHT[at], "dash": DASHES[at + 1], "width": 2},
        "marker": {"color": LIGHT[at], "symbol": SHAPES[at], "size": 10},
    }


def _asked(known: Mapping[str, float], cutoff: str) -> str:
    return plain(known[cutoff]) if cutoff in known else "not asked"


def _reliability_finding(one: Data) -> str:
    held = sum(b["low"] <= b["mean"] <= b["high"] for b in one["bins"])
    bins = "1 bin" if len(one["bins"]) == 1 else f"{len(one['bins'])} bins"
    return (
        f"At {one['cutoff']} it predicts {_share(one['predicted'])} on average and {_share(one['actual'])} churned; "
        f"in {held} of {bins} the prediction lies inside the interval of the actual rate."
    )


def _gain_row(model: str, captured: Sequence[float]) -> tuple[str, ...]:
    return (model, *(plain(c) for c in captured), *(plain(c / share, 2) for c, share in zip(captured, TOP, strict=True)))


def _curves_row(model: str, own: Data) -> tuple[str, ...]:
    return (model, plain(own["auc"]), *(plain(x) for x in own["true_rate"]), *(plain(x) for x in own["precision"]))


def _grey(models: Sequence[str]) -> str:
    return f"Coloured: the first {COLOURED}; the other {len(models) - COLOURED} are grey. " if len(models) > COLOURED else ""


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.0%}" if 0.1 <= value <= 0.9 else f"{value:.1%}"
