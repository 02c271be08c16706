"""Draw recall at k of next-event models: all targets, repeats, and items that are new to their user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import clean, plain
from bench.report.chart import Chart, axis, layout
from bench.report.palette import style

Detail = Mapping[str, Any]
"""A line of `details.parquet`: `model`, `targets`, `k`, `recall`."""


def recall_chart(details: Sequence[Detail], model: str) -> Chart | None:
    """Draw one model's lines; None where it was not measured."""
    own = [d for d in details if d.get("targets") and d.get("recall") is not None and d["model"] == model]
    if not own:
        return None
    lines = {name: sorted((d["k"], d["recall"]) for d in own if d["targets"] == name) for name in dict.fromkeys(d["targets"] for d in own)}
    first, points = next(iter(lines.items()))
    ks = sorted({k for found in lines.values() for k, _ in found})
    by = {name: dict(found) for name, found in lines.items()}
    return Chart(
        key="recall",
        title="Recall by length of the list (higher is better)",
        finding=f"Of {first} targets {clean(model)} has {plain(points[-1][1])} among its first {points[-1][0]:,}.",
        traces=[
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [k for k, _ in p],
                "y": [round(r, 5) for _, r in p],
                **style(at),
            }
            for at, (name, p) in enumerate(lines.items())
        ],
        layout=layout(
            height=320, xaxis=axis("length of the list, k", type="log", tickvals=ks), yaxis=axis("recall at k", rangemode="tozero")
        ),
        head=("targets", *(f"recall at {k}" for k in ks)),
        rows=[(name, *(plain(found.get(k)) for k in ks)) for name, found in by.items()],
        note="repeat: items that the user has had before; new: the others.",
    )
