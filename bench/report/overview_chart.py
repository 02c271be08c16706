"""Draw a data set over time, with the cut-offs on the time axis, and the gaps between the active days of its users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bench.report.chart import Chart, axis, layout
from bench.report.palette import DASHES, GREY, INK, LIGHT, MARK

Data = Mapping[str, Any]
GAPS = ("1 day", "2 to 3 days", "4 to 7 days", "8 to 14 days", "15 to 28 days", "29 to 91 days", "longer")
"""Names of the groups of gaps, as `bench.data.overview` counts them."""
CUT = {"training": DASHES[2], "validation": DASHES[1], "test": DASHES[0]}
"""What a cut-off is for -> the dash of its line."""


def overview_charts(figure: Data) -> list[Chart]:
    """Make the charts of one data set: activity over time, and for a log the gaps."""
    return [_activity(figure), *([_gaps(figure)] if figure["unit"] == "events" and sum(figure["gaps"]) else [])]


def _activity(figure: Data) -> Chart:
    log, step, time = figure["unit"] == "events", figure["step"], figure["time"]
    first = figure["events"] if log else figure["observed"]
    traces = [_bars(f"events a {step}" if log else f"series observed a {step}", time, first, GREY)]
    if log:
        line = {"color": LIGHT[0], "width": 2, "dash": "solid"}
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"active users a {step}",
                "x": time,
                "y": figure["users"],
                "yaxis": "y2",
                "line": line,
            }
        )
    below: dict[str, Any] = {"yaxis2": axis("active users", domain=[0, 0.46], rangemode="tozero")} if log else {}
    return Chart(
        key="overview",
        title=f"Activity by {step}, with the cut-offs" if log else f"Series observed by {step}, with the cut-offs",
        finding=_finding(figure),
        traces=traces,
        layout=layout(
            height=380 if log else 280,
            shapes=[*_windows(figure), *(_cut(one) for one in figure["cutoffs"])],
            xaxis=axis("time (UTC)", type="date", anchor="y2" if log else "y"),
            yaxis=axis("events" if log else "series", domain=[0.56, 1] if log else [0, 1], rangemode="tozero"),
            **below,
        ),
        head=("from", "events", "active users") if log else ("from", "series observed"),
        rows=[tuple(map(str, row)) for row in (zip(time, first, figure["users"], strict=True) if log else zip(time, first, strict=True))],
        note=_note(figure),
    )


def _bars(name: str, x: Sequence[str], y: Sequence[int], colour: str) -> dict[str, Any]:
    return {"type": "bar", "name": name, "x": x, "y": y, "marker": {"color": colour}}


def _cut(one: Data) -> dict[str, Any]:
    line = {"color": INK, "dash": CUT.get(one["what"], "dot"), "width": 2 if one["what"] == "test" else 1.2}
    return {"type": "line", "x0": one["time"], "x1": one["time"], "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _windows(figure: Data) -> list[dict[str, Any]]:
    """Shade what each test cut-off asks about: its horizon."""
    if not figure.get("days"):
        return []
    tests = [one["time"] for one in figure["cutoffs"] if one["what"] == "test"]
    look = {"type": "rect", "y0": 0, "y1": 1, "yref": "paper", "fillcolor": MARK, "line": {"width": 0}, "layer": "below"}
    return [{**look, "x0": time, "x1": _after(time, figure["days"])} for time in tests if _after(time, figure["days"])]


def _after(time: str, days: float) -> str:
    try:
        return (datetime.fromisoformat(time) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M")
    except ValueError:
        return ""


def _finding(figure: Data) -> str:
    ends = f"from {figure['time'][0][:10]} to {figure['time'][-1][:10]}"
    if figure["unit"] == "series":
        return f"{figure['total']:,} series {ends}."
    quiet = sum(n == 0 for n in figure["events"])
    still = f"; {quiet} {figure['step']}{'s' * (quiet != 1)} without any" if quiet else ""
    return f"{figure['total']:,} events of {figure['users_total']:,} users {ends}{still}."


def _note(figure: Data) -> str:
    found = figure["cutoffs"]
    if not found:
        return "This task cuts by series, not at shared times."
    kinds = [f"{what} {', '.join(times)}" for what in CUT if (times := [one["time"][:16] for one in found if one["what"] == what])]
    shaded = "; shaded: what the test asks about" if _windows(figure) else ""
    return f"Cut-offs: {'; '.join(kinds)} (dotted: training, dashed: validation, solid: test{shaded})."


def _gaps(figure: Data) -> Chart:
    counts, total = figure["gaps"], sum(figure["gaps"])
    most = max(range(len(counts)), key=lambda at: counts[at])
    return Chart(
        key="gaps",
        title="Gaps between two active days of a user",
        finding=f"{counts[most] / total:.0%} of {total:,} gaps last {GAPS[most]}; {counts[-1] / total:.1%} are longer than 91 days.",
        traces=[{**_bars("gaps", list(GAPS), counts, LIGHT[0]), "text": [f"{n / total:.0%}" for n in counts], "textposition": "outside"}],
        layout=layout(height=280, xaxis=axis("length of the gap", type="category"), yaxis=axis("gaps"), showlegend=False),
        head=("length", "gaps", "share"),
        rows=[(word, f"{n:,}", f"{n / total:.1%}") for word, n in zip(GAPS, counts, strict=True)],
    )
