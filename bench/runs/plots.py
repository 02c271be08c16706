"""What `board.plot()` draws of one board's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.board.metrics import ranking_metric
from bench.board.ranking import candidates
from bench.board.schema import Row

if TYPE_CHECKING:
    import plotly.graph_objects as go


def forest(rows: Sequence[Row]) -> go.Figure:
    """Draw each model's score with its 95 % interval, the best on top."""
    import plotly.graph_objects as go

    metric, higher, standing = _ranked_rows(rows)
    # plotly counts from the bottom
    shown = sorted(standing, key=lambda r: r[metric], reverse=not higher)
    score = [r[metric] for r in shown]
    error = {
        "type": "data",
        "symmetric": False,
        "array": [(_or(r[f"{metric}_high"], r[metric]) - r[metric]) for r in shown],
        "arrayminus": [(r[metric] - _or(r[f"{metric}_low"], r[metric])) for r in shown],
    }
    figure = go.Figure(go.Scatter(x=score, y=[r["model"] for r in shown], mode="markers", error_x=error))
    return figure.update_layout(title=_title(rows), xaxis_title=_axis(metric, higher), yaxis_title=None)


def pareto(rows: Sequence[Row]) -> go.Figure:
    """Draw each model's score against its seconds (search, fit and predict), and a line along those that no other beats in both."""
    import plotly.graph_objects as go

    metric, higher, standing = _ranked_rows(rows)
    points = sorted((_seconds(r), r[metric], r["model"]) for r in standing)
    front, best = [], float("-inf")
    for seconds, score, _ in points:
        if (score if higher else -score) > best:
            best = score if higher else -score
            front.append((seconds, score))
    figure = go.Figure(
        [
            go.Scatter(
                x=[p[0] for p in points], y=[p[1] for p in points], text=[p[2] for p in points], mode="markers+text",
                textposition="top center", name="models",
            ),
            go.Scatter(x=[p[0] for p in front], y=[p[1] for p in front], mode="lines", line_shape="hv", name="best for its time"),
        ]
    )  # fmt: skip
    return figure.update_layout(title=_title(rows), xaxis_title="seconds", xaxis_type="log", yaxis_title=_axis(metric, higher))


PLOTS: Mapping[str, Callable[[Sequence[Row]], go.Figure]] = {"forest": forest, "pareto": pareto}


def _ranked_rows(rows: Sequence[Row]) -> tuple[str, bool, list[Row]]:
    """Return the metric that ranks, whether higher is better, and the row that stands for each model."""
    metric, higher = ranking_metric(rows[0])
    return metric, higher, [rows[at] for at in candidates(rows) if rows[at][metric] is not None]


def _seconds(row: Row) -> float:
    return max(sum(_or(row[name], 0.0) for name in ("search_seconds", "fit_seconds", "predict_seconds")), 1e-3)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _title(rows: Sequence[Row]) -> str:
    first = rows[0]
    return " ".join(filter(None, (first["dataset"], first["family"], first["task"])))


def _axis(metric: str, higher: bool) -> str:
    return f"test {metric} ({'higher' if higher else 'lower'} is better)"
