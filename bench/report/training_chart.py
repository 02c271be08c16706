"""Draw how final fits learnt: the holdout loss after each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.board.numbers import clean, plain
from bench.report.chart import Chart, axis, layout
from bench.report.palette import style

Data = Mapping[str, Any]
MOST = 5
"""Fits that are drawn: more seeds stand in the table."""


def training_chart(figure: Data, model: str) -> Chart | None:
    """Draw the fits of one model; None where it reported nothing."""
    fits = figure["models"].get(model, [])
    if not fits:
        return None
    fits = sorted(fits, key=lambda fit: (fit["tuning"] == "default", fit["tuning"], fit["seed"]))
    first, longest = fits[0], max(fit["points"][-1][0] for fit in fits)
    epoch, best = min(first["points"], key=lambda point: point[1])
    return Chart(
        key="training",
        title="Learning curve: holdout loss by epoch (lower is better)",
        finding=f"{clean(model)}, {first['tuning']}, seed {first['seed']}: the lowest loss, {plain(best, 4)}, after epoch {epoch + 1} "
        f"of {first['points'][-1][0] + 1}.",
        traces=[_line(fit, at) for at, fit in enumerate(fits[:MOST])],
        layout=layout(height=320, xaxis=axis("epoch", dtick=max(1, (longest + 1) // 10)), yaxis=axis("holdout loss")),
        head=("tuning", "seed", "epochs", "lowest loss", "after epoch", "last loss"),
        rows=[_row(fit) for fit in fits],
        note="The holdout is cut from the training data; the weights of the best epoch are kept."
        + (f" The first {MOST} of {len(fits)} fits are drawn." if len(fits) > MOST else ""),
    )


def _line(fit: Data, at: int) -> dict[str, Any]:
    x, y = zip(*fit["points"], strict=True)
    name = f"{fit['tuning']}, seed {fit['seed']}"
    return {"type": "scatter", "mode": "lines+markers", "name": name, "x": [n + 1 for n in x], "y": list(y), **style(at)}


def _row(fit: Data) -> tuple[str, ...]:
    epoch, best = min(fit["points"], key=lambda point: point[1])
    return fit["tuning"], str(fit["seed"]), str(fit["points"][-1][0] + 1), plain(best, 4), str(epoch + 1), plain(fit["points"][-1][1], 4)
