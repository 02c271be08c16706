"""A chart as plain data: Plotly traces and layout, the finding in a sentence, and its numbers as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.board.numbers import clean
from bench.report.html import Html, name_of, tag
from bench.report.palette import GRID, INK
from bench.report.tables import TableCell, plain_table

FIRST = 25
"""Models that a chart draws where there are more: the tie group and those after it; the table of the page has all."""
MOST_ROWS = 200
"""Rows of a chart's own table; more are counted in words."""


@dataclass(frozen=True)
class Chart:
    """One chart; the text is as given, `figure_html` and `mark` make it safe."""

    key: str
    """Identifies it on its page."""
    title: str
    finding: str
    """What it shows, with numbers, in one sentence."""
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    head: Sequence[str]
    rows: Sequence[Sequence[str | TableCell]] = field(default_factory=tuple)
    note: str = ""

    def spec(self) -> dict[str, Any]:
        """Return what Plotly draws, ready for JSON."""
        return {"data": list(self.traces), "layout": dict(self.layout)}


def mark(text: str) -> str:
    """Make foreign text safe inside a chart: Plotly reads tags and entities in names as markup."""
    return clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def wrapped(text: str, width: int = 18) -> str:
    """Break a long name into lines of at most `width` for an axis; nothing is cut."""
    lines = textwrap.wrap(clean(text), width, break_on_hyphens=True) or [""]
    return "<br>".join(mark(line) for line in lines)


def layout(*, height: int = 320, x: str = "", y: str = "", **more: Any) -> dict[str, Any]:
    """Return the common layout: no background of its own, text of 13 px, a legend above; `more` overrides."""
    base: dict[str, Any] = {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 32, "b": 48 if x or "xaxis" in more else 34},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        "xaxis": axis(x),
        "yaxis": axis(y),
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 13}},
        "hoverlabel": {"namelength": -1},
    }
    return {**base, **more}


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis in the common look."""
    look = {"gridcolor": GRID, "linecolor": INK, "zeroline": False, "automargin": True, "ticks": "outside", "tickcolor": INK}
    return {"title": {"text": title, "font": {"size": 13}}, **look, **more}


def upright(x: float | str, text: str = "", *, dash: str = "dot", ref: str = "y domain") -> dict[str, Any]:
    """Return the layout of a vertical line with a word at its top."""
    line = {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": ref, "line": {"color": INK, "dash": dash, "width": 1.5}}
    return {**line, "label": {"text": text, "textposition": "end", "textangle": 0, "font": {"size": 12, "color": INK}}} if text else line


def figure_html(chart: Chart) -> Html:
    """Write a chart's place on the page: the finding, the node that the script fills, and its numbers as a table."""
    words = f"chart-{chart.key}"
    shown = list(chart.rows)[:MOST_ROWS]
    left = f" (the first {MOST_ROWS} of {len(chart.rows):,} rows)" if len(chart.rows) > MOST_ROWS else ""
    table = plain_table(f"{clean(chart.title)}{left}", chart.head, shown)
    height = int(chart.layout.get("height", 320))
    return tag(
        "figure",
        tag(
            "div",
            tag("strong", name_of(chart.title), class_="chart-title"),
            tag("span", clean(chart.finding), class_="finding"),
            tag("span", clean(chart.note), class_="note") if chart.note else None,
            # no figcaption: beside one, a figure may have no role of its own
            id=words,
            class_="words",
        ),
        tag("div", class_="plot", data_chart=chart.key, aria_hidden="true", style=f"height:{height}px"),
        tag(
            "div",
            tag("button", "Save as PNG", type="button", class_="png", data_for=chart.key, hidden=True),
            tag("details", tag("summary", "Data of this chart"), table),
            class_="beside",
        ),
        role="group",
        aria_labelledby=words,
    )
