"""The leaderboard as a value: typed rows with their ranks, shown as a table, a frame or HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bench.board.overall import Overall, overall
from bench.board.ranking import boards, rank, verdict
from bench.board.schema import Row, other_metrics, read_rows, rows_to_table, table_to_rows
from bench.board.view import BoardView, board_views
from bench.errors import ConfigError, RunFolderError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


@dataclass(frozen=True, eq=False)
class Board:
    """A leaderboard: one row per (cell, tuning, seed), and the files beside it."""

    arrow: pa.Table
    """The rows, of `bench.board.schema.SCHEMA`."""
    path: Path | None = None
    """The run folder (or the Parquet file) that it was read from."""

    @classmethod
    def build(cls, rows: Sequence[Mapping[str, Any]], path: Path | None = None) -> Board:
        """Rank rows and hold them; raise ValueError where a row breaks the schema."""
        return cls(rows_to_table(rank(table_to_rows(rows_to_table(rows)))), path)

    @classmethod
    def read(cls, path: Path | str) -> Board:
        """Read a run folder or a leaderboard's Parquet file; raise `RunFolderError` where there is none."""
        path = Path(path)
        stored = read_rows(path / "leaderboard.parquet" if path.is_dir() else path)
        # made anew: a file of an earlier bench may have ranks of another rule
        return cls(rows_to_table(rank(table_to_rows(stored))), path)

    @cached_property
    def rows(self) -> list[Row]:
        """Return the rows as dicts."""
        return table_to_rows(self.arrow)

    @property
    def verdicts(self) -> dict[tuple[str, str], str]:
        """Describe each board's outcome in one sentence, by (task id, data set)."""
        return {key: verdict([self.rows[at] for at in members]) for key, members in boards(self.rows).items()}

    @property
    def overall(self) -> list[Overall]:
        """Summarise over data sets, per task id with at least two; failed cells are charged."""
        return overall(self.rows)

    def table(self, *, width: int | None = None, all_rows: bool = False) -> str:
        """Return the tables as text, plain unwrapped lines or laid out in `width` columns."""
        from bench.board.text import render

        return render(self.rows, width=width, all_rows=all_rows)

    def to_pandas(self) -> pd.DataFrame:
        """Return all rows as a pandas frame, without the metrics of tasks that are not on the board."""
        frame: pd.DataFrame = self._own().to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return all rows as a polars frame, without the metrics of tasks that are not on the board."""
        import polars as pl

        return pl.DataFrame(pl.from_arrow(self._own()))

    def _own(self) -> pa.Table:
        return self.arrow.drop_columns([*other_metrics({str(task) for task in self.arrow["task"].to_pylist()})])

    def forecasts(self, models: Sequence[str] = (), *, form: str = "long") -> Any:
        """Return the run's forecasts as pandas frames: `long` (unique_id, cutoff, ds, model, quantiles), `nixtla` or `fev`.

        `fev` gives {(data set, model, cut-off): frame}. Raises `RunFolderError` where there are none, `ConfigError` for an
        unknown form or model.
        """
        from bench.board import forecasts

        if form not in {"long", "nixtla", "fev"}:
            raise ConfigError(f"form={form!r} of forecasts is unknown; use long, nixtla or fev")
        if self.path is None:
            raise RunFolderError("the board was made of rows, not read from a run folder: it holds no forecasts")
        frame = forecasts.forecasts(self.path, models)
        if form == "fev":
            return {(dataset, model, cutoff): own for dataset, model, cutoff, own in forecasts.to_fev(frame)}
        return forecasts.to_nixtla(frame) if form == "nixtla" else forecasts.to_long(frame)

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.arrow.num_rows)

    def __repr__(self) -> str:
        return self.table() or "Board without rows"

    def _repr_html_(self) -> str:
        from bench.board.forest import forest

        pictures = [forest([self.rows[at] for at in members]) for members in boards(self.rows).values()]
        shown = zip(board_views(self.rows), pictures, strict=True)
        return "".join(_html(view) + picture for view, picture in shown) or "<p>Board without rows</p>"


def _html(view: BoardView) -> str:
    heads = [*(column.head for column in view.columns), "note"]
    body = [[*line.cells, line.note] for line in view.lines]
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in body)
    return (
        f"<table><caption>{escape(view.title)}<br>{escape(view.facts)}</caption>"
        f"<thead><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr></thead><tbody>{rows}</tbody></table>"
        f"<p>{escape(view.caption)}</p><p><strong>{escape(view.verdict)}</strong></p><p>{escape(view.recommendation)}</p>"
    )
