"""Draw how scores are distributed by class: churned against stayed, anomalous against normal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import clean
from bench.report.chart import Chart, axis, layout
from bench.report.palette import DASHES, LIGHT

Data = Mapping[str, Any]


def churn_classes(figure: Data, model: str, key: str = "classes") -> Chart | None:
    """Draw the predicted churn of users who churned and who stayed; None where it was not counted."""
    found = figure["models"][model].get("classes")
    return None if not found else _chart(found, key, f"Predicted churn by class: {clean(model)}", "predicted churn", "users")


def anomaly_classes(figure: Data, model: str) -> Chart | None:
    """Draw where the scores of anomalous and normal steps stand among those of their series; None where it was not counted."""
    found = figure.get("classes", {}).get(model)
    if not found or not sum(found["anomalous"]):
        return None
    return _chart(found, "classes", "Scores by class", "place of the score among those of its series (1: the highest)", "steps")


def _chart(found: Mapping[str, Sequence[int]], key: str, title: str, across: str, unit: str) -> Chart:
    bins = len(next(iter(found.values())))
    shares = {name: [n / (sum(counts) or 1) for n in counts] for name, counts in found.items()}
    low, high = shares
    overlap = sum(min(a, b) for a, b in zip(shares[low], shares[high], strict=True))
    edges = [f"{at / bins:.2f} to {(at + 1) / bins:.2f}" for at in range(bins)]
    columns = list(found.items())
    return Chart(
        key=key,
        title=title,
        finding=f"The two distributions overlap by {overlap:.0%}; without any overlap the scores would part the classes wholly.",
        traces=[_steps(name, shares[name], at, bins) for at, name in enumerate(found)],
        layout=layout(
            height=300,
            xaxis=axis(across, range=[0, 1]),
            yaxis=axis(f"share of the {unit} of a class", tickformat=".0%", rangemode="tozero"),
        ),
        head=("score", *(f"{name}, {unit}" for name in found)),
        rows=[(edge, *(f"{counts[at]:,}" for _, counts in columns)) for at, edge in enumerate(edges)],
        note=f"{', '.join(f'{sum(counts):,} {unit} {name}' for name, counts in columns)}; {bins} bins of equal width.",
    )


def _steps(name: str, shares: Sequence[float], at: int, bins: int) -> dict[str, Any]:
    line = {"color": LIGHT[at], "width": 2, "dash": DASHES[at], "shape": "hv"}
    y = [round(v, 5) for v in [*shares, shares[-1]]]
    return {"type": "scatter", "mode": "lines", "name": name, "x": [n / bins for n in range(bins + 1)], "y": y, "line": line}
