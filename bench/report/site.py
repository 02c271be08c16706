"""Write the whole report of a finished run folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.errors import RunFolderError
from bench.report.across_page import across_page
from bench.report.assets import copy_assets
from bench.report.board_page import board_page
from bench.report.cell_page import cell_page
from bench.report.glossary_page import glossary_page
from bench.report.grid_page import grid_page
from bench.report.index_page import index_page
from bench.report.page import Page, write_page
from bench.report.pages import plot_pages
from bench.report.run_folder import Run, cell_file, read_run, trail
from bench.report.run_page import rows_csv, run_page
from bench.report.search_page import search_page


def build(run_folder: Path | str) -> Path:
    """Write `report/` of a run folder, anew, and return its `index.html`; the same rows give the same bytes.

    Reads `leaderboard.parquet`, and where there are any `run.json`, `trials.parquet`, `details.parquet`, `figures.json` and
    `logs/`. Raises `RunFolderError` where there is no leaderboard, or no row in it.
    """
    run = read_run(Path(run_folder))
    if not run.rows:
        raise RunFolderError(f"{run_folder}: the leaderboard has no row; run something first")
    report = Path(run_folder) / "report"
    # pages of an earlier state, whose models may be gone, would be found by their links
    shutil.rmtree(report, ignore_errors=True)
    copy_assets(report)
    for page in pages(run):
        write_page(report, page)
    (report / "rows.csv").write_text(rows_csv(run.rows), encoding="utf-8")
    return report / "index.html"


def pages(run: Run) -> Iterator[Page]:
    """Make all pages, the index first."""
    yield index_page(run)
    if len(run.boards) > 1:
        yield grid_page(run)
    if (across := across_page(run)) is not None:
        yield across
    for key in run.boards:
        yield board_page(run, key)
        for model in run.models(key):
            yield cell_page(run, key, model)
            if (search := search_page(run, key, model)) is not None:
                yield search
    if run.drawn:
        cells = {(key[0], run.dataset(key), model): cell_file(key, model) for key in run.boards for model in run.models(key)}
        yield from plot_pages(run.drawn, "", trail(run), lambda figure, model: cells[figure["task_id"], figure["dataset"], model])
    yield run_page(run)
    yield glossary_page([run.task], trail(run))
