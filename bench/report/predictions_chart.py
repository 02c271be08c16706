"""Draw what stored predictions tell by themselves, of a run that was published without figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.board.numbers import clean, plain
from bench.report.chart import Chart, axis, layout
from bench.report.palette import BAND, DASHES, LIGHT

Data = Mapping[str, Any]
KIND = "predictions"
WITHOUT = (
    "This run was published without figures. A place holds predictions and no truth: curves, calibration and single series cannot be "
    "drawn from it."
)


def predictions_chart(figure: Data, model: str) -> Chart | None:
    """Draw how often each score was given, or the average forecast; None where nothing was counted."""
    found = figure["models"].get(model)
    if not found:
        return None
    return _scores(found, model) if "counts" in found else _forecast(found, model)


def _scores(found: Data, model: str) -> Chart:
    counts, bins = found["counts"], len(found["counts"])
    total, users = sum(counts), found["of"] == "users"
    across = "predicted churn" if users else "score between the lowest (0) and the highest (1) of its series"
    most = max(range(bins), key=lambda at: counts[at])
    edges = [f"{at / bins:.2f} to {(at + 1) / bins:.2f}" for at in range(bins)]
    y = [round(n / total, 5) for n in [*counts, counts[-1]]]
    line = {"color": LIGHT[0], "width": 2, "dash": DASHES[0], "shape": "hv"}
    return Chart(
        key=KIND,
        title=f"What {clean(model)} predicted",
        finding=f"{total:,} {found['of']}, mean {plain(found['mean'])}; most of them ({counts[most] / total:.0%}) from {edges[most]}.",
        traces=[{"type": "scatter", "mode": "lines", "name": model, "x": [n / bins for n in range(bins + 1)], "y": y, "line": line}],
        layout=layout(
            height=300,
            xaxis=axis(across, range=[0, 1]),
            yaxis=axis(f"share of the {found['of']}", tickformat=".0%", rangemode="tozero"),
            showlegend=False,
        ),
        head=("score", found["of"]),
        rows=[(edge, f"{n:,}") for edge, n in zip(edges, counts, strict=True)],
        note=f"Counted from the stored prediction, in {bins} bins of equal width; who was right is not known here.",
    )


def _forecast(found: Data, model: str) -> Chart:
    steps = list(range(1, len(found["median"]) + 1))
    low, median, high = found["low"], found["median"], found["high"]
    band = {"fill": "toself", "fillcolor": BAND, "mode": "lines", "line": {"width": 0, "color": LIGHT[0]}, "hoverinfo": "skip"}
    line = {"color": LIGHT[0], "width": 2.2, "dash": "dash"}
    return Chart(
        key=KIND,
        title=f"What {clean(model)} forecast, mean over series",
        finding=f"{median[0]:,.4g} a series one step ahead, {median[-1]:,.4g} at step {steps[-1]}.",
        traces=[
            {"type": "scatter", "name": "lowest to highest quantile", "x": [*steps, *steps[::-1]], "y": [*low, *high[::-1]], **band},
            {"type": "scatter", "mode": "lines", "name": "median", "x": steps, "y": list(median), "line": line},
        ],
        layout=layout(height=340, xaxis=axis("steps ahead"), yaxis=axis("value, mean over series"), hovermode="x"),
        head=("steps ahead", "lowest quantile", "median", "highest quantile"),
        rows=[(str(s), f"{a:,.4g}", f"{b:,.4g}", f"{c:,.4g}") for s, a, b, c in zip(steps, low, median, high, strict=True)],
        note=f"Averaged from the stored predictions of {found['series']:,} series at {found['windows']:,} cut-offs, {found['levels']} "
        "quantiles each; what came true is not known here.",
    )
