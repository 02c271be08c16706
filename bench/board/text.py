"""Print boards as text: 80 columns on a terminal, plain unwrapped lines in a pipe. Names are never cut."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from bench.board.schema import Row
from bench.board.view import BoardView, Line, board_views

MODEL = 2
"""Where the model's name stands among the columns."""

SPENDABLE = {
    "beside-1": "",
    "beside-0": "",
    "metric_span": "interval of the test score",
    "seconds": "seconds",
    "skill_span": "interval of skill",
}
"""Columns given up on a narrow terminal, in this order, and how the caption calls them (empty: as its head does)."""

NAME, NOTE = 12, 5
"""Room that names and notes must have before columns are given up; what is longer stands on a line of its own."""

INDENT = "     "

Styled = tuple[str, str]


def show(rows: Sequence[Row], console: Console | None = None, *, all_rows: bool = False) -> None:
    """Print one table for each (task id, data set) of ranked rows.

    The layout follows the stream (a terminal's width, or plain lines); colour is rich's decision alone.
    """
    console = console or Console()
    terminal = console.file.isatty()
    for text, style in _all(rows, width=console.width if terminal else None, all_rows=all_rows):
        # a Text is never read as markup, and soft wrapping never cuts
        console.print(Text(text, style=style), soft_wrap=True)


def render(rows: Sequence[Row], *, width: int | None = None, all_rows: bool = False) -> str:
    """Return the same as one string without colour; `width` None: plain unwrapped lines, as for a pipe."""
    return "\n".join(text for text, _ in _all(rows, width=width, all_rows=all_rows))


def _all(rows: Sequence[Row], *, width: int | None, all_rows: bool) -> list[Styled]:
    lines: list[Styled] = []
    for view in board_views(rows, all_rows=all_rows):
        lines += [("", "")] if lines else []
        lines += _piped(view) if width is None else _fitted(view, width)
    return lines


def _piped(view: BoardView) -> list[Styled]:
    head = tuple(column.head for column in view.columns)
    cells = [head, *(line.cells for line in view.lines)]
    wide = {at: max(cell_len(row[at]) for row in cells) for at in range(len(head))}
    notes = ["note", *(line.note for line in view.lines)]
    body = [(f"{_joined(view, row, wide, '  ')}  {note}", "") for row, note in zip(cells, notes, strict=True)]
    return [
        (view.title, ""),
        (view.facts, ""),
        *body,
        (view.caption, ""),
        *((words, "") for words in view.words),
    ]


def _fitted(view: BoardView, width: int) -> list[Styled]:
    wide, gone = _widths(view, width)
    lost = f"; left out at this width: {', '.join(gone)}" if gone else ""
    gap = "  " if sum(wide.values()) + 2 * len(wide) + max((len(line.note) for line in view.lines), default=0) <= width else " "
    lines: list[Styled] = [*_title(view, width), *_wrapped(view.facts, width)]
    for at in (0, 1):
        heads = tuple(column.split[at] for column in view.columns)
        lines.append((f"{_joined(view, heads, wide, gap)}{gap}{('', 'note')[at]}".rstrip(), "bold"))
    for line in view.lines:
        lines += _body(view, line, wide, gap, width)
    return [
        *lines,
        *_wrapped(view.caption + lost, width, "dim"),
        *(one for words in view.words for one in _wrapped(words, width, "bold")),
    ]


def _title(view: BoardView, width: int) -> list[Styled]:
    # a task id is copied and compared: it is kept whole, on a line of its own where it does not fit
    pieces = [view.title] if cell_len(view.title) <= width else view.title.split("  ")
    return [(piece, "bold") for piece in pieces]


def _widths(view: BoardView, width: int) -> tuple[dict[int, int], list[str]]:
    """Choose the columns that fit and their widths; also name those that do not."""
    measured = [line.cells for line in view.lines if not line.failed]
    wide = {
        at: max([*(cell_len(head) for head in column.split), *(cell_len(cells[at]) for cells in measured)])
        for at, column in enumerate(view.columns)
    }
    names = [cell_len(line.cells[MODEL]) for line in view.lines]
    wide[len(wide) - 1] = max([wide[len(wide) - 1], *(cell_len(line.cells[-1]) for line in view.lines)])
    wide[MODEL] = max(cell_len("model"), min(max(names, default=0), NAME))
    gone = _drop_columns(view, wide, width)
    room = width - (sum(wide.values()) - wide[MODEL]) - len(wide) - len("default")
    wide[MODEL] = max([wide[MODEL], *(size for size in names if size <= room)])
    return wide, gone


def _drop_columns(view: BoardView, wide: dict[int, int], width: int) -> list[str]:
    """Take columns out of `wide` until it fits; name them."""
    gone: list[str] = []
    at_key = {column.key: at for at, column in enumerate(view.columns)}
    for key in [key for key in SPENDABLE if key in at_key]:
        if sum(wide.values()) + len(wide) + NOTE <= width:
            break
        del wide[at_key[key]]
        gone.append(SPENDABLE[key] or view.columns[at_key[key]].head)
    return gone


def _body(view: BoardView, line: Line, wide: dict[int, int], gap: str, width: int) -> list[Styled]:
    style = "red" if line.failed else ""
    cells, lines = line.cells, []
    if cell_len(cells[MODEL]) > wide[MODEL]:
        lines.append((f"{_padded(cells[0], wide[0])}{gap}{_padded(cells[1], wide[1])}{gap}{cells[MODEL]}", style))
        cells = ("",) * (MODEL + 1) + cells[MODEL + 1 :]
    text = _spanned(view, cells, wide, gap) if line.failed else _joined(view, cells, wide, gap)
    if cell_len(text) + len(gap) + cell_len(line.note) <= width:
        return [*lines, (f"{text}{gap}{line.note}", style)]
    notes = textwrap.wrap(line.note, width - len(INDENT), break_long_words=False, break_on_hyphens=False)
    return [*lines, (text.rstrip(), style), *((INDENT + note, style) for note in notes)]


def _spanned(view: BoardView, cells: tuple[str, ...], wide: dict[int, int], gap: str) -> str:
    """Let the failure's word run over the columns that a failed row has no numbers for."""
    last = len(cells) - 1
    numbers = [size for at, size in wide.items() if MODEL < at < last]
    room = sum(numbers) + len(gap) * (len(numbers) - 1)
    front = _joined(view, cells, {at: wide[at] for at in range(MODEL + 1)}, gap)
    back = f"{gap}{_padded(cells[last], wide[last], right=True)}" if last in wide else ""
    return f"{front}{gap}{_padded(cells[MODEL + 1], room)}{back}"


def _joined(view: BoardView, cells: tuple[str, ...], wide: dict[int, int], gap: str) -> str:
    return gap.join(_padded(cells[at], size, right=view.columns[at].right) for at, size in wide.items())


def _padded(text: str, size: int, *, right: bool = False) -> str:
    fill = " " * (size - cell_len(text))
    return fill + text if right else text + fill


def _wrapped(text: str, width: int, style: str = "") -> list[Styled]:
    return [(line, style) for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)]
