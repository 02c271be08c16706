"""Intervals as small inline pictures for table cells: a line with a dot on a scale that all rows share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.report.html import Html, tag

WIDTH, HEIGHT, PAD = 110, 18, 7
CONTENDERS = 8
"""Models, the best first, whose intervals set the scale; those far behind stand at its edge, with an arrow."""

Span = tuple[float | None, float | None, float | None]
"""Low end, value, high end."""


def scale(spans: Sequence[Span], *, zero: bool = False) -> tuple[float, float]:
    """Return the range that holds the spans of the contenders, the first of `spans`, and 0 where asked; (0, 1) where there is nothing."""
    known = [x for span in spans[:CONTENDERS] for x in span if x is not None and math.isfinite(x)] + [0.0] * zero
    low, high = min(known, default=0.0), max(known, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def strip(span: Span, ends: tuple[float, float], *, zero: bool = False) -> Html:
    """Draw one interval; hidden from screen readers, which have the numbers beside it."""
    low, value, high = span
    if value is None:
        return tag("span", "", class_="strip")
    ends_known = low is not None and high is not None
    parts = [
        _line(_at(0.0, ends), 1, _at(0.0, ends), HEIGHT - 1, "zero") if zero else None,
        _line(_at(low, ends), HEIGHT / 2, _at(high, ends), HEIGHT / 2, "ci")
        if low is not None and high is not None and ends_known
        else None,
        _dot(value, ends),
    ]
    return tag("svg", parts, class_="strip", viewBox=f"0 0 {WIDTH} {HEIGHT}", width=WIDTH, height=HEIGHT, aria_hidden="true")


def _dot(value: float, ends: tuple[float, float]) -> Html:
    """Draw the value; one beyond the scale is an arrow at its edge, so that it is not read as a place on it."""
    y = HEIGHT / 2
    if ends[0] <= value <= ends[1]:
        return tag("circle", cx=_at(value, ends), cy=str(y), r="4", class_="dot")
    tip, back = (0, 7) if value < ends[0] else (WIDTH, WIDTH - 7)
    return tag("polygon", points=f"{tip},{y:g} {back},{y - 5:g} {back},{y + 5:g}", class_="dot beyond")


def _at(x: float, ends: tuple[float, float]) -> str:
    share = (min(max(x, ends[0]), ends[1]) - ends[0]) / (ends[1] - ends[0])
    return f"{PAD + share * (WIDTH - 2 * PAD):.1f}"


def _line(x1: str, y1: float, x2: str, y2: float, class_: str) -> Html:
    return tag("line", x1=x1, y1=f"{y1:g}", x2=x2, y2=f"{y2:g}", class_=class_)
