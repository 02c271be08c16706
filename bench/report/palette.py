"""Colours of the charts: Okabe and Ito's, which most colour-blind readers tell apart, each with a second channel.

On white only five of them reach a contrast of 3:1, on #121212 five others: two lists of five, and beyond five series grey.
"""

from __future__ import annotations

from typing import Any

LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000")
"""Blue, vermillion, green, purple, black."""
DARK = ("#56b4e9", "#e69f00", "#009e74", "#cc79a8", "#ffffff")
"""Sky blue, orange, green, purple, white; the last digits of green and purple differ so that the two lists map both ways."""
GREY, GREY_DARK = "#767676", "#8d8d8d"
INK, INK_DARK = "#1b1b1b", "#ececec"
GRID, GRID_DARK = "#dddddd", "#3a3a3a"
BAND, BAND_DARK = "rgba(0,114,178,0.22)", "rgba(86,180,233,0.28)"
MARK, MARK_DARK = "rgba(213,94,0,0.16)", "rgba(230,159,0,0.22)"
SHADE, SHADE_DARK = "rgba(0,0,0,0.07)", "rgba(255,255,255,0.10)"

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SHAPES = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star")


def dark_colours() -> dict[str, str]:
    """Map each colour of a figure to the one that replaces it on a dark page."""
    pairs = [*zip(LIGHT, DARK, strict=True), (GREY, GREY_DARK), (INK, INK_DARK), (GRID, GRID_DARK)]
    return dict([*pairs, (BAND, BAND_DARK), (MARK, MARK_DARK), (SHADE, SHADE_DARK)])


def style(at: int) -> dict[str, Any]:
    """Return the look of the series number `at`: a colour for the first five, and a pair of dash and shape of its own (up to 42)."""
    colour = LIGHT[at] if at < len(LIGHT) else GREY
    return {
        "line": {"color": colour, "dash": DASHES[at % len(DASHES)], "width": 2 if at < len(LIGHT) else 1.2},
        "marker": {"color": colour, "symbol": SHAPES[at % len(SHAPES)], "size": 7},
    }
