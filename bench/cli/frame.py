"""Lay out the live view: lines of styled words that fit the screen. Names are never cut: columns go, or a line is added."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from rich.cells import cell_len, chop_cells

from bench.board.numbers import clean, plain
from bench.cli.view import DONE_ROOM, CellState, RunState, clock, remaining

Styled = tuple[str, str]
Line = list[Styled]
Logs = Mapping[tuple[str, str], str]
"""(data set, model) of failed cells -> their logs."""

STYLES = {"waiting": "dim", "search": "cyan", "final": "blue", "done": "green", "failed": "red"}
WIDE = 72
"""Columns from which the counts of all other cells fit on one line."""
NAME = 12
"""Columns that a name gets on the narrowest screen; a longer one stands on a line of its own."""
BAR = 20
STATE = len("waiting")


@dataclass(frozen=True)
class Layout:
    """Describe what the lines of cells show; `detail` is how many words the score may have."""

    gap: str
    detail: int
    time: bool = True
    left: bool = True


LAYOUTS = (
    Layout("  ", 3),
    Layout("  ", 2),
    Layout("  ", 1),
    Layout(" ", 1),
    Layout(" ", 1, left=False),
    Layout(" ", 0, left=False),
    Layout(" ", 0, time=False, left=False),
)
"""From the richest to the poorest; the first that fits is taken."""


@dataclass(frozen=True)
class Columns:
    """The layout that was chosen and the widths of its columns."""

    layout: Layout
    name: int
    count: int
    info: int
    time: int
    left: int

    @property
    def before(self) -> int:
        """Measure what stands left of the score."""
        gap = len(self.layout.gap)
        return 2 * (gap - 1) + self.name + gap + STATE + gap + self.count + gap

    @property
    def width(self) -> int:
        """Measure a whole line."""
        gap, layout = len(self.layout.gap), self.layout
        return self.before + self.info + (gap + self.time) * layout.time + (gap + self.left) * layout.left


def frame(run: RunState, now: float, width: int, height: int, logs: Logs) -> list[Line]:
    """Return the lines of the live view: at most `height`, none wider than `width`."""
    last = _folded(_total(run, now, width), width)
    room = height - len(last) - (1 if width >= WIDE else 2)
    blocks = _blocks(run, now, width, room, logs)
    told = textwrap.wrap(_others(run, list(blocks), width), width, initial_indent="  ", subsequent_indent="  ")
    others = [[(text, "dim")] for text in told]
    lines = [line for key in run.cells for line in blocks.get(key, [])]
    return [*lines, *others, *last][-height:]


def _blocks(run: RunState, now: float, width: int, room: int, logs: Logs) -> dict[tuple[str, str], list[Line]]:
    """Lay out the cells for which there is room: those that run, the failed, the latest done, those that wait for a worker again."""
    ended = [] if run.ends_elsewhere else run.finished
    begun = [c for c in run.cells.values() if c.word in {"search", "final"}]
    running, paused = [c for c in begun if c.running], [c for c in begun if not c.running]
    cells = [*running, *(c for c in ended if c.word == "failed"), *[c for c in ended if c.word == "done"][:DONE_ROOM], *paused]
    columns = _columns(run, cells, now, width)
    blocks: dict[tuple[str, str], list[Line]] = {}
    for cell in cells:
        block = _block(run, cell, now, width, columns, logs)
        used = sum(len(other) for other in blocks.values()) + len(block)
        if used <= (min(room, DONE_ROOM) if cell.word == "done" else room):
            blocks[cell.dataset, cell.model] = block
    return blocks


def _columns(run: RunState, cells: Sequence[CellState], now: float, width: int) -> Columns:
    """Choose the richest layout that fits, the same for all lines."""
    names = [cell_len(clean(run.label(c))) for c in run.cells.values()]
    budget = run.ready.trials if run.ready else 1
    count = max([len(f"{budget}/{budget}"), *(len(_count(c)) for c in cells)])
    times = max([4, *(len(clock(c.seconds(now))) for c in cells)])
    left = max([len("left ~0:00"), *(len(_time_left(run, c, now)) for c in cells)])
    for most, layout in product((max(width // 3, 16), NAME), LAYOUTS):
        name = max([2, *(size for size in names if size <= most)])
        info = max([len(_score(run, 0.5, 29, layout.detail)), *(len(_info(run, c, layout.detail)) for c in cells)])
        columns = Columns(layout, name, count, info, times, left)
        if columns.width <= width:
            break
    return columns


def _block(run: RunState, cell: CellState, now: float, width: int, columns: Columns, logs: Logs) -> list[Line]:
    """Lay out one cell: a line, with the name before it where that is too long, and the failure's cause after it."""
    name, layout, style = clean(run.label(cell)), columns.layout, STYLES[cell.current_word]
    indent = layout.gap[1:] * 2
    above = [[(indent + name, "bold")]] if cell_len(name) > columns.name else []
    front = indent + _padded("" if above else name, columns.name)
    if cell.word == "failed":
        line = [(front, ""), (f"{layout.gap}{'failed':<{STATE}}{layout.gap}{_count(cell):<{columns.count}}{layout.gap}", style)]
        lines = _failed(line, cell, now, width, columns, logs.get((cell.dataset, cell.model), ""))
    else:
        count = f"{layout.gap}{_count(cell):>{columns.count}}{layout.gap}"
        line = [(f"{front}{layout.gap}", ""), (f"{cell.current_word:<{STATE}}", style), (count, "")]
        info = (f"{_info(run, cell, layout.detail):<{columns.info}}", "")
        left = (f"{layout.gap}{_time_left(run, cell, now)}" if layout.left else "", "dim")
        lines = [[*line, info, *_times(cell, now, columns), left]]
    return [piece for each in (*above, *lines) for piece in _folded(each, width)]


def _failed(line: Line, cell: CellState, now: float, width: int, columns: Columns, log: str) -> list[Line]:
    """Explain why a cell failed: in its line where the cause fits, else in whole lines below; the cure waits for the summary."""
    reason, times = clean(cell.reason).partition("; ")[0], _times(cell, now, columns)
    tail = (f"  {log}" if log else "", "")
    aligned = [*line, (_padded(reason, columns.info), "red"), *times, tail]
    if cell_len(reason) <= columns.info and _wide(aligned) <= width:
        return [aligned]
    short = [*line, (reason, "red"), tail]
    if _wide(short) <= width:
        return [short]
    below = textwrap.wrap(reason, max(width - 4, 1), break_on_hyphens=False)
    return [
        [*line, (" " * columns.info, ""), *times],
        *([(f"    {text}", "red")] for text in below),
        *([[("  ", ""), tail]] if log else []),
    ]


def _times(cell: CellState, now: float, columns: Columns) -> Line:
    return [(f"{columns.layout.gap}{clock(cell.seconds(now)):>{columns.time}}", "dim")] if columns.layout.time else []


def _count(cell: CellState) -> str:
    if cell.word == "failed":
        return "error" if cell.status == "failed" else clean(cell.status)
    if cell.word == "final":
        return f"{cell.finals}/{cell.expected_finals}"
    return f"{cell.searched}/{cell.searched if cell.closed else max(cell.trials, cell.searched)}"


def _info(run: RunState, cell: CellState, detail: int) -> str:
    """Describe the best score so far, always as one on validation."""
    if cell.word == "failed":
        return ""
    notes = [f"{cell.failed_trials} failed"] if cell.failed_trials else []
    if cell.best is None:
        notes += [f"step {cell.step}"] if cell.step is not None and not notes else []
        return notes[0] if notes and detail else ""
    if not cell.finished:
        return _score(run, cell.best, cell.best_trial, detail)
    notes += ["reused"] if cell.reused and cell.reused == cell.jobs else []
    return ", ".join([_score(run, cell.best, None, detail), *(notes if detail > 1 else [])])


def _score(run: RunState, best: float, trial: int | None, detail: int) -> str:
    if detail == 0:
        return f"valid {plain(best)}"
    which = f"{' best' if detail == 3 else ''}, trial {trial}" if trial is not None and detail > 1 else ""
    return f"valid {run.metric} {plain(best)}{which}"


def _time_left(run: RunState, cell: CellState, now: float) -> str:
    left, whole = cell.seconds_left(now), run.seconds_left(now)
    # with the workers of cells that end sooner, none takes longer than the run
    return "" if left is None else f"left ~{clock(left if whole is None else min(left, whole))}"


def _others(run: RunState, shown: Sequence[tuple[str, str]], width: int) -> str:
    """Return the number of cells that have no line; those that wait by name, where there is room."""
    called = {"search": "running", "final": "running"}
    words = {key: called.get(cell.current_word, cell.current_word) for key, cell in run.cells.items()}
    hidden = [word for key, word in words.items() if key not in shown]
    seen = {words[key] for key in shown}
    counts = {word: hidden.count(word) for word in ("running", "waiting", "done", "failed")}
    told = {word: f"{n} {'more ' if word in seen else ''}{word}" for word, n in counts.items() if n}
    names = ", ".join(clean(run.label(c)) for key, c in run.cells.items() if key not in shown and words[key] == "waiting")
    whole = ", ".join({**told, "waiting": f"{told.get('waiting')} ({names})"}.values()) if names else ""
    return whole if whole and cell_len(whole) <= width - 2 else ", ".join(told.values())


def _total(run: RunState, now: float, width: int) -> Line:
    """Sum up in one line: what matters least goes first where space is short, the bar before all."""
    ended, left = run.finished, remaining(run, now)
    failed = sum(c.word == "failed" for c in ended)
    pieces = {
        "cells": f"cells {len(ended)}/{len(run.cells)}",
        "failed": f"failed {failed}" if failed else "",
        "percent": f"{int(100 * run.fraction)} %",
        "elapsed": clock(now - run.started),
        "left": left if len(ended) < len(run.cells) else "",
    }
    if _size(pieces) > width:
        pieces["left"] = left.partition(",")[0]
    for name in ("elapsed", "failed", "percent", "left"):
        pieces[name] = pieces[name] if _size(pieces) <= width else ""
    return _with_bar(pieces, run.fraction, min(width - _size(pieces) - len("  []"), BAR))


def _with_bar(pieces: Mapping[str, str], fraction: float, size: int) -> Line:
    styles = {"cells": "bold", "failed": "red", "left": "bold"}
    line: Line = []
    for name, text in pieces.items():
        if name == "percent" and text and size >= BAR // 3:
            full = int(size * fraction)
            line.append((f"  [{'#' * full}{'-' * (size - full)}]", ""))
        line += [(f"{'  ' if line else ''}{text}", styles.get(name, ""))] if text else []
    return line


def _size(pieces: Mapping[str, str]) -> int:
    return sum(len(text) + 2 for text in pieces.values() if text) - 2


def _wide(line: Line) -> int:
    return sum(cell_len(text) for text, _ in line)


def _padded(text: str, size: int) -> str:
    return text + " " * (size - cell_len(text))


def _folded(line: Line, width: int) -> list[Line]:
    """Break a line that is wider than the screen between characters: nothing of it is lost."""
    if _wide(line) <= width:
        return [line]
    style = next((style for _, style in line if style), "")
    return [[(piece, style)] for piece in chop_cells("".join(text for text, _ in line).rstrip(), max(width, 1))]
