"""Turn collected churn figures into charts of the order of the scores: gain, ROC and precision-recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.board.numbers import ABSENT, clean, plain
from bench.metrics.rounding import rounded
from bench.report.chart import FIRST, Chart, axis, layout, mark, upright, wrapped
from bench.report.palette import DASHES, GREY, INK, LIGHT, SHAPES
from bench.tasks.churn.figures import FALSE_ALARMS, RECALLS, TOP, thinned

Data = Mapping[str, Any]
COLOURED = 4
"""Models whose lines have a colour on a page of many; the others are grey."""
FEW_POINTS = 30
"""Points of a grey line."""


def ordered_churn(figure: Data) -> list[str]:
    """List the models that a figure shows: leader, reference, then by ROC AUC; 25 at most."""
    models, first = figure["models"], (figure["leader"], figure["reference"])
    return sorted(models, key=lambda m: (m != first[0], m != first[1], -(models[m]["auc"] or 0), m))[:FIRST]


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
        finding=f"The 10 % of users that {clean(first)} scores highest hold {percent(caught)} of all churners, "
        f"{plain(caught / TOP[ten], 2)} times as many as 10 % at random.",
        traces=[
            *_lines(figure, models, "gain", "%{text}: %{x:.0%} of users, %{y:.0%} of churners"),
            diagonal("at random"),
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
    flat = {"type": "line", "xref": "x2", "yref": "y2", "x0": 0, "x1": 1, "y0": base, "y1": base, "line": thin("dot")}
    word = {"text": "base rate", "textposition": "start", "font": {"size": 12, "color": INK}}
    return Chart(
        key="curves",
        title="ROC and precision-recall",
        finding=f"ROC AUC on the test: {aucs}, at random .5; {percent(base)} of the test users churned.",
        traces=[
            *_lines(figure, models, "roc", "%{text}: %{x:.0%} of stayers, %{y:.0%} of churners"),
            diagonal("at random"),
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


def _lines(figure: Data, models: Sequence[str], curve: str, hover: str) -> list[dict[str, Any]]:
    """Return a line a model: grey ones first, so that they lie below, with one word in the legend for all of them."""
    return [_line(figure, models, at, curve, hover) for at in reversed(range(len(models)))]


def _line(figure: Data, models: Sequence[str], at: int, curve: str, hover: str) -> dict[str, Any]:
    model, grey = models[at], at >= COLOURED
    points = np.array(figure["models"][model][curve], float)
    x, y = (thinned(points, FEW_POINTS) if grey else points).T.tolist()
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [rounded(v) for v in x],
        "y": [rounded(v) for v in y],
        "text": mark(model),
        "hovertemplate": f"{hover}<extra></extra>",
        "name": f"{len(models) - COLOURED} others" if grey else wrapped(named(figure, model), 28),
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


def diagonal(name: str) -> dict[str, Any]:
    """Return the line from one corner to the other."""
    return {"type": "scatter", "mode": "lines", "name": name, "x": [0, 1], "y": [0, 1], "hoverinfo": "skip", "line": thin("longdashdot")}


def thin(dash: str) -> dict[str, Any]:
    """Return the look of a line that is no model's."""
    return {"color": INK, "width": 1.2, "dash": dash}


def named(figure: Data, model: str) -> str:
    """Name a model for a legend, the reference as such."""
    return f"{model} (reference)" if model == figure["reference"] else model


def _gain_row(model: str, captured: Sequence[float]) -> tuple[str, ...]:
    return (model, *(plain(c) for c in captured), *(plain(c / share, 2) for c, share in zip(captured, TOP, strict=True)))


def _curves_row(model: str, own: Data) -> tuple[str, ...]:
    return (model, plain(own["auc"]), *(plain(x) for x in own["true_rate"]), *(plain(x) for x in own["precision"]))


def _grey(models: Sequence[str]) -> str:
    return f"Coloured: the first {COLOURED}; the other {len(models) - COLOURED} are grey. " if len(models) > COLOURED else ""


def percent(value: float | None) -> str:
    """Format a share in per cent, near 0 and 1 with a decimal."""
    return ABSENT if value is None else f"{value:.0%}" if 0.1 <= value <= 0.9 else f"{value:.1%}"
