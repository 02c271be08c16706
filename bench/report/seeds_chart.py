"""Draw the spread over seeds: one dot a final fit, no box, since a few points need no summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.board.metrics import ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain
from bench.board.schema import Row
from bench.metrics.rounding import rounded
from bench.report.chart import Chart, axis, layout, mark, wrapped
from bench.report.palette import LIGHT, SHAPES

MOST = 25
"""Models that are drawn."""


def seeds_chart(rows: Sequence[Row], order: Sequence[str]) -> Chart | None:
    """Draw each model's test scores, a dot a seed and a shape a tuning; None where no model has several seeds."""
    metric, higher = ranking_metric(rows[0])
    own = {model: [r for r in rows if r["model"] == model and r["status"] == "ok" and r.get(metric) is not None] for model in order}
    several = {model: found for model, found in own.items() if _widest(found, metric)[0] > 1}
    if not several:
        return None
    shown = list(several)[:MOST]
    label = ranking_label(rows[0])
    wide = max(several, key=lambda model: _widest(several[model], metric)[1])
    tunings = sorted({r["tuning"] for found in several.values() for r in found})
    left = f" The first {MOST} of {len(several)} models are drawn." if len(several) > MOST else ""
    return Chart(
        key="seeds",
        title=f"Spread over seeds: test {label} ({way(higher=higher)} is better)",
        finding=f"{clean(wide)} varies most: {plain(_widest(several[wide], metric)[1])} between its best and its worst seed.",
        traces=[_dots(several, shown, tuning, at, metric) for at, tuning in enumerate(tunings)],
        layout=_layout(shown, label),
        head=("model", "tuning", "seeds", "least", "median", "greatest"),
        rows=[line for model in several for line in _lines(model, several[model], metric)],
        note=f"One dot a final fit; the median seed stands for the model.{left}",
    )


def _widest(rows: Sequence[Row], metric: str) -> tuple[int, float]:
    """Return the most seeds of one tuning, and the widest range of its scores."""
    by_tuning: dict[str, list[float]] = {}
    for row in rows:
        by_tuning.setdefault(row["tuning"], []).append(row[metric])
    return max(map(len, by_tuning.values()), default=0), max((max(v) - min(v) for v in by_tuning.values()), default=0.0)


def _dots(several: dict[str, list[Row]], shown: Sequence[str], tuning: str, at: int, metric: str) -> dict[str, Any]:
    points = [(y, r) for y, model in enumerate(shown) for r in several[model] if r["tuning"] == tuning]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": tuning,
        "x": [rounded(r[metric]) for _, r in points],
        "y": [y + 0.24 * (at - 0.5) for y, _ in points],
        "text": [f"{mark(r['model'])}, seed {r.get('seed')}" for _, r in points],
        "hovertemplate": "%{text}: %{x}<extra></extra>",
        "marker": {"color": LIGHT[at], "symbol": SHAPES[at], "size": 9, "opacity": 0.8},
        "line": {"dash": "solid"},
    }


def _layout(shown: Sequence[str], label: str) -> dict[str, Any]:
    names = [wrapped(model) for model in shown]
    lines = sum(name.count("<br>") + 1 for name in names)
    ticks: dict[str, Any] = {"tickvals": list(range(len(shown))), "ticktext": names, "range": [len(shown) - 0.5, -0.5]}
    return layout(height=110 + 12 * len(shown) + 16 * lines, xaxis=axis(f"test {label}"), yaxis=axis(**ticks))


def _lines(model: str, rows: Sequence[Row], metric: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for tuning in sorted({r["tuning"] for r in rows}):
        scores = sorted(r[metric] for r in rows if r["tuning"] == tuning)
        middle = scores[(len(scores) - 1) // 2]
        found.append((model, tuning, str(len(scores)), plain(scores[0]), plain(middle), plain(scores[-1])))
    return found
