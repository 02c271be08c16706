"""Draw how often the actual values lie inside the bands that models forecast: nominal against actual coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.board.numbers import ABSENT, clean, plain, span
from bench.board.schema import Row
from bench.metrics.rounding import rounded
from bench.report.chart import Chart, axis, layout, mark, upright, wrapped
from bench.report.palette import LIGHT, SHAPES

NOMINAL = (60, 80)
"""Bands in per cent, named so in the columns of the leaderboard."""

APART = 0.3
"""Distance of a model's two bands from each other, in rows: their intervals would hide one another."""


def coverage_chart(rows: Sequence[Row]) -> Chart | None:
    """Draw the coverage of each model's bands, `rows` as the table orders them; None where nothing was measured."""
    shown = [row for row in rows if row["status"] == "ok" and any(row.get(f"coverage_{k}") is not None for k in NOMINAL)]
    if not shown:
        return None
    return Chart(
        key="coverage",
        title="Do the bands hold? Actual coverage of the 60 and 80 % bands",
        finding=_finding(shown),
        traces=[_dots(shown, k, at) for at, k in enumerate(NOMINAL)],
        layout=_layout(shown),
        head=("model", *(head for k in NOMINAL for head in (f"inside the {k} % band", f"95 % interval of {k} %"))),
        rows=[(row["model"], *(word for k in NOMINAL for word in _words(row, k))) for row in shown],
        note="The dashed lines stand at 60 and 80 %: left of its line a band is too narrow, right of it too wide.",
    )


def _finding(rows: Sequence[Row]) -> str:
    first = rows[0]
    bands = " and ".join(f"{_share(first.get(f'coverage_{k}'))} with its {k} % band" for k in NOMINAL)
    narrow = sum((row.get("coverage_80_high") or 1.0) < 0.8 for row in rows)
    wide = sum((row.get("coverage_80_low") or 0.0) > 0.8 for row in rows)
    return (
        f"{clean(first['model'])} covers {bands}; the 80 % band is too narrow for {narrow} and too wide for {wide} of {len(rows)} models."
    )


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.0%}"


def _words(row: Row, k: int) -> tuple[str, str]:
    name = f"coverage_{k}"
    return (
        (plain(row[name]), span(row.get(f"{name}_low"), row.get(f"{name}_high"))) if row.get(name) is not None else ("not measured", "none")
    )


def _dots(rows: Sequence[Row], k: int, at: int) -> dict[str, Any]:
    name = f"coverage_{k}"
    own = [(y, row) for y, row in enumerate(rows) if row.get(name) is not None]
    ends = [(row.get(f"{name}_low"), row[name], row.get(f"{name}_high")) for _, row in own]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{k} % band",
        "x": [rounded(x) for _, x, _ in ends],
        "y": [y + (at - 0.5) * APART for y, _ in own],
        "text": [mark(row["model"]) for _, row in own],
        "hovertemplate": "%{text}: %{x:.1%}<extra></extra>",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [rounded((high if high is not None else x) - x) for _, x, high in ends],
            "arrayminus": [rounded(x - (low if low is not None else x)) for low, x, _ in ends],
            "color": LIGHT[at],
            "thickness": 2,
        },
        "marker": {"color": LIGHT[at], "symbol": SHAPES[at], "size": 9},
        "line": {"dash": "solid"},
    }


def _layout(rows: Sequence[Row]) -> dict[str, Any]:
    names = [wrapped(row["model"]) for row in rows]
    lines = sum(name.count("<br>") + 1 for name in names)
    ticks: dict[str, Any] = {"tickvals": list(range(len(rows))), "ticktext": names, "range": [len(rows) - 0.5, -0.5], "showgrid": False}
    return layout(
        height=120 + 10 * len(rows) + 16 * lines,
        shapes=[upright(k / 100, dash="dash") for k in NOMINAL],
        xaxis=axis("share of actual values inside", range=[-0.01, 1.01], tickformat=".0%"),
        yaxis=axis(**ticks),
    )
