"""Draw the alarm calendar: on which days a model raises alarms, and on which there is something to find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from bench.board.numbers import clean
from bench.report.chart import Chart, axis, layout
from bench.report.palette import GREY, LIGHT

Data = Mapping[str, Any]
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LARGEST = 18
"""Points across the square of the day with most alarms."""


def calendar_chart(figure: Data, model: str) -> Chart | None:
    """Draw a square for each day with an alarm, its size by how many series have one; a ring where an anomaly is due."""
    found = figure.get("calendar") or {}
    alarms = found.get("models", {}).get(model)
    if alarms is None or not found["days"]:
        return None
    days = [date.fromisoformat(day) for day in found["days"]]
    first = days[0].toordinal() - days[0].weekday()
    weeks = [(day.toordinal() - first) // 7 for day in days]
    most = max([*alarms, 1])
    hit = sum(bool(a and t) for a, t in zip(alarms, found["true"], strict=True))
    return Chart(
        key="calendar",
        title="Alarm calendar",
        finding=f"{clean(model)} raises alarms on {sum(map(bool, alarms))} of {len(days)} days; on {hit} of the "
        f"{sum(map(bool, found['true']))} days with an anomaly in any series.",
        traces=[_alarms(days, weeks, alarms, most), _due(days, weeks, found["true"])],
        layout=layout(
            height=300,
            xaxis=axis("week from", tickvals=weeks_of(weeks), ticktext=[str(date.fromordinal(first + 7 * w)) for w in weeks_of(weeks)]),
            yaxis=axis(tickvals=list(range(7)), ticktext=list(DAYS), range=[6.6, -0.6], showgrid=False),
        ),
        head=("day", "series with an alarm", "series with an anomaly"),
        rows=[(str(d), str(a), str(t)) for d, a, t in zip(days, alarms, found["true"], strict=True) if a or t],
        note=f"A larger square: more series with an alarm, {most} at most; an alarm: the score passes the series' threshold.",
    )


def weeks_of(weeks: Sequence[int]) -> list[int]:
    """Choose the weeks that the axis names: at most eight."""
    known = sorted(set(weeks))
    return known[:: max(1, -(-len(known) // 8))]


def _alarms(days: Sequence[date], weeks: Sequence[int], alarms: Sequence[int], most: int) -> dict[str, Any]:
    shown = [at for at, n in enumerate(alarms) if n]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "alarms",
        "x": [weeks[at] for at in shown],
        "y": [days[at].weekday() for at in shown],
        "text": [f"{days[at]}: {alarms[at]} series" for at in shown],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": LIGHT[0], "symbol": "square", "size": [round(6 + (LARGEST - 6) * alarms[at] / most, 1) for at in shown]},
        "line": {"dash": "solid"},
    }


def _due(days: Sequence[date], weeks: Sequence[int], true: Sequence[int]) -> dict[str, Any]:
    shown = [at for at, n in enumerate(true) if n]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "days with an anomaly",
        "x": [weeks[at] for at in shown],
        "y": [days[at].weekday() for at in shown],
        "hoverinfo": "skip",
        "marker": {"color": LIGHT[1], "symbol": "circle-open", "size": LARGEST + 4, "line": {"width": 2, "color": LIGHT[1]}},
        "line": {"dash": "dot", "color": GREY},
    }
