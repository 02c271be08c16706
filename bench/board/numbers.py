"""Spell numbers and foreign text for tables and sentences: `+.001`, `.782`, `-.004 to +.006`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

ABSENT = "-"
"""Stands where there is no number; a word beside it says why."""


def plain(x: float | None, digits: int = 3) -> str:
    """Format a number without the zero before the point: `.782`, `-.041`, `1.204`."""
    if x is None or math.isnan(x):
        return ABSENT
    text = f"{x:,.{digits}f}"
    if not any(c in "123456789" for c in text) and not math.isinf(x):
        text = text.lstrip("-")  # a rounded -0 would look like a loss
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def signed(x: float | None, digits: int = 3) -> str:
    """Format a difference with its sign: `+.001`, `-.041`; what rounds to zero has none: `.000`."""
    text = plain(x, digits)
    nothing = text.startswith("-") or not any(c in "123456789i" for c in text)
    return text if nothing else f"+{text}"


def span(low: float | None, high: float | None, spell: Callable[[float | None], str] = plain) -> str:
    """Format an interval: `-.004 to +.006`; absent ends give one dash."""
    ends = spell(low), spell(high)
    return ABSENT if ABSENT in ends else f"{ends[0]} to {ends[1]}"


def seconds(*parts: float | None) -> str:
    """Format the sum of the known parts: `322`, `0.4`; a dash where none is known."""
    known = [part for part in parts if part is not None and not math.isnan(part)]
    if not known:
        return ABSENT
    total = sum(known)
    return f"{total:.0f}" if total >= 9.95 else f"{total:.1f}"


def clean(text: str) -> str:
    """Make foreign text safe to show on one line: white space becomes single spaces, what cannot be printed becomes `?`.

    It drops escape sequences' ESC, carriage returns and characters that turn the reading direction.
    """
    spaced = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in spaced)


def several(items: Sequence[str], most: int) -> str:
    """List at most `most` items and count the others: `a, b and 5 more`."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
