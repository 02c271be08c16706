"""Draw one board as an SVG picture for notebooks: each model's score with its interval, the tie group tinted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.board.metrics import ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain
from bench.board.ranking import merit
from bench.board.schema import Row
from bench.board.view import listed

NAMES, WIDTH, LINE, TOP, EDGE = 170, 640, 22, 26, 14
"""Pixels: room for names, the whole width, a line, the head, and what is left free at both ends."""
LEAST = 5
"""Models that the scale shows whole; it is that of the better half, where this is more."""
BLUE, GREY, TINT = "#1f6feb", "#6e7781", "#1f6feb22"


def forest(rows: Sequence[Row]) -> str:
    """Return the picture of one board; empty where fewer than two models have a score.

    The scale is that of the better models: what lies outside is clipped, with an arrow and its number.
    """
    metric, higher = ranking_metric(rows[0])
    shown = [row for row in listed(rows) if row["status"] == "ok" and row.get(metric) is not None]
    shown.sort(key=merit, reverse=True)
    if len(shown) < 2:
        return ""
    ends = [_ends(row, metric) for row in shown]
    whole = ends[: max(LEAST, (len(ends) + 1) // 2)]
    low, high = min(e[0] for e in whole), max(e[2] for e in whole)
    scale = (WIDTH - NAMES - 2 * EDGE) / ((high - low) or 1.0)
    lines = [
        _line(at, row, [NAMES + EDGE + (x - low) * scale for x in end], end[1])
        for at, (row, end) in enumerate(zip(shown, ends, strict=True))
    ]
    head = f"test {ranking_label(rows[0])}, {way(higher=higher)} is better; 95 % intervals of the single scores"
    title = f'<text x="4" y="16" fill="{GREY}">{escape(head)}</text>'
    tall = TOP + LINE * len(shown) + 4
    style = 'font-family="system-ui, sans-serif" font-size="12" fill="currentColor"'
    box = f'viewBox="0 0 {WIDTH} {tall}" width="{WIDTH}" height="{tall}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(head)}" {box} {style}>{title}{"".join(lines)}</svg>'


def _ends(row: Row, metric: str) -> tuple[float, float, float]:
    """Return the lower end of the interval, the score and the upper end."""
    value = float(row[metric])
    low, high = row.get(f"{metric}_low"), row.get(f"{metric}_high")
    return (value if low is None else float(low), value, value if high is None else float(high))


def _line(at: int, row: Row, ends: Sequence[float], value: float) -> str:
    y = TOP + LINE * at + LINE / 2
    tied = bool(row.get("tied"))
    colour = BLUE if tied else GREY
    tint = f'<rect x="0" y="{y - LINE / 2:g}" width="{WIDTH}" height="{LINE}" fill="{TINT}"/>' if tied else ""
    name = f'<text x="4" y="{y + 4:g}">{escape(clean(row["model"]))}</text>'
    left, right = NAMES, WIDTH - EDGE / 2
    low, middle, high = (min(max(x, left), right) for x in ends)
    bar = f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:g}" y2="{y:g}" stroke="{colour}" stroke-width="2"/>'
    if left <= ends[1] <= right:
        mark = f'<circle cx="{middle:.1f}" cy="{y:g}" r="4" fill="{colour}"><title>{plain(value)}</title></circle>'
    else:  # outside: an arrow, and the number that it stands for
        out = ends[1] < left
        words = f"◀ {plain(value)}" if out else f"{plain(value)} ▶"
        bar, where = "", f'x="{left if out else right:g}" text-anchor="{"start" if out else "end"}"'
        mark = f'<text {where} y="{y + 4:g}" fill="{colour}">{words}</text>'
    return tint + name + bar + mark
