"""`bench board`: show, compare and export leaderboards; `bench report`: the pages of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.board import Board
from bench.board.families import family_words
from bench.board.merge import merge, misfit
from bench.board.schema import rows_to_table, write_rows
from bench.errors import ConfigError, RunFolderError

if TYPE_CHECKING:
    import polars as pl


def show(places: Sequence[Path], *, all_rows: bool, as_json: bool, width: int | None) -> None:
    """Print the boards of a run folder or a leaderboard's file; of several, merged."""
    board, words = opened(places)
    if as_json:
        verdicts = [{"task_id": task, "board": name, "verdict": said} for (task, name), said in board.verdicts.items()]
        sys.stdout.write(json.dumps({"rows": board.rows, "verdicts": verdicts}, default=str, allow_nan=False) + "\n")
        return
    sys.stdout.write(board.table(width=width, all_rows=all_rows) + "\n")
    for line in overall_lines(board):
        sys.stdout.write(f"{line}\n")
    for sentence in [*words, *family_words(board.rows)]:
        sys.stderr.write(f"{sentence}\n")


def export(places: Sequence[Path], to: Path) -> None:
    """Write all rows to a .csv, .parquet or .json file."""
    board, _ = opened(places)
    if to.suffix == ".parquet":
        write_rows(to, board.rows)
    elif to.suffix == ".csv":
        _as_text(board.to_polars()).write_csv(to)
    elif to.suffix == ".json":
        to.write_text(json.dumps(board.rows, default=str, allow_nan=False, indent=1))
    else:
        raise ConfigError(f"--to {to}: write to a file that ends in .csv, .parquet or .json")
    sys.stderr.write(f"{len(board):,} rows in {to}\n")


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Flatten lists, and put `'` before foreign text that a spreadsheet would take for a formula."""
    import polars as pl
    from polars import selectors

    flat = frame.with_columns(pl.col("flags").list.join(" "))
    formula = selectors.string().str.contains(r"^[=+\-@\t\r]")
    return flat.with_columns(pl.when(formula).then("'" + selectors.string()).otherwise(selectors.string()).name.keep())


def opened(places: Sequence[Path]) -> tuple[Board, list[str]]:
    """Read one board, or merge several; also say in words what was left out."""
    boards = [Board.read(place) for place in places]
    if len(boards) == 1:
        return boards[0], []
    runs = {str(place): board.rows for place, board in zip(places, boards, strict=True)}
    if words := misfit(runs):
        raise RunFolderError(f"{words[0]}; give runs on the same data, or name one's data otherwise")
    merged = merge(runs)
    return Board(rows_to_table(merged.rows)), merged.words


def overall_lines(board: Board) -> list[str]:
    """Summarise over the data sets of each task id that has several: mean skill, wins, failures."""
    from bench.board.numbers import clean, signed

    lines: list[str] = []
    for task_id in dict.fromkeys(s.task_id for s in board.overall):
        own = [s for s in board.overall if s.task_id == task_id]
        lines += ["", f"over data sets  {clean(task_id)}"]
        rows = [("model", "mean skill", "won", "tied", "data sets", "failed", "charged")]
        rows += [
            (clean(s.model), signed(s.mean_skill), str(s.won), str(s.tied), str(s.datasets), str(s.failed), str(s.charged)) for s in own
        ]
        wide = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        lines += [
            "  ".join(cell.ljust(w) if at == 0 else cell.rjust(w) for at, (cell, w) in enumerate(zip(row, wide, strict=True)))
            for row in rows
        ]
    return lines


def report(run: Path) -> None:
    """Write a run's report pages and say where."""
    from bench.report import build

    sys.stdout.write(f"{build(run)}\n")
