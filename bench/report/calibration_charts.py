"""Turn collected churn figures into charts of calibration: reliability by cut-off, and predicted against actual rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.drift import drift_sentence
from bench.board.numbers import clean, plain, span
from bench.metrics.rounding import rounded
from bench.report.chart import Chart, axis, layout, wrapped
from bench.report.churn_charts import diagonal, named, percent, thin
from bench.report.palette import DASHES, INK, LIGHT, SHAPES

Data = Mapping[str, Any]
FEW_CASES = 20
"""Bins with fewer users are drawn hollow."""


def reliability_chart(figure: Data, model: str, key: str = "reliability") -> Chart:
    """Draw predicted against actual churn in bins of equal mass, each cut-off of its own, with the counts below."""
    found = figure["models"][model]["reliability"]
    base = figure["base_rate"]
    flat = {"type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": base, "y1": base, "line": thin("dot")}
    word = {"text": f"base rate {percent(base)}", "textposition": "end", "font": {"size": 12, "color": INK}}
    dots = [_bin_dots(one, at) for at, one in enumerate(reversed(found))]
    return Chart(
        key=key,
        title=f"Is {clean(model)} calibrated? Predicted against actual churn",
        finding=_reliability_finding(found[-1]),
        traces=[*dots, diagonal("as predicted"), *(_bin_bars(one, at) for at, one in enumerate(reversed(found)))],
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
        "line": {**thin("solid"), "width": 2},
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
        rows=[(one["cutoff"], plain(one["rate"]), *(_plain_or_absent(known[m], one["cutoff"]) for m in models)) for one in figure["rates"]],
        note="Models are asked at the validation and the test cut-off; the earlier ones are what they learn from.",
    )


def drift(figure: Data, model: str) -> str:
    """Describe how a model's predicted rates compare with the actual ones, and whether its level can be trusted."""
    rates = [{"model": name, **one} for name, own in figure["models"].items() for one in own["reliability"]]
    words = drift_sentence(model, rates, figure["n"][figure["test_cutoff"]])
    return f"{words[0].upper()}{words[1:]}"


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
            "array": [rounded(b["high"] - b["rate"]) for b in bins],
            "arrayminus": [rounded(b["rate"] - b["low"]) for b in bins],
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
        "name": f"predicted by {wrapped(named(figure, model), 28)}",
        "x": [one["cutoff"] for one in found],
        "y": [one["predicted"] for one in found],
        "line": {"color": LIGHT[at], "dash": DASHES[at + 1], "width": 2},
        "marker": {"color": LIGHT[at], "symbol": SHAPES[at], "size": 10},
    }


def _plain_or_absent(known: Mapping[str, float], cutoff: str) -> str:
    return plain(known[cutoff]) if cutoff in known else "not asked"


def _reliability_finding(one: Data) -> str:
    held = sum(b["low"] <= b["mean"] <= b["high"] for b in one["bins"])
    bins = "1 bin" if len(one["bins"]) == 1 else f"{len(one['bins'])} bins"
    return (
        f"At {one['cutoff']} it predicts {percent(one['predicted'])} on average and {percent(one['actual'])} churned; "
        f"in {held} of {bins} the prediction lies inside the interval of the actual rate."
    )
