"""The page over all data sets: who wins where, and the means where a task id has several data sets."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from bench.board.metrics import ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain, signed
from bench.board.overall import Overall, overall
from bench.board.ranking import merit
from bench.board.schema import Row
from bench.board.view import listed
from bench.report.board_page import LAST
from bench.report.chart import FIRST
from bench.report.html import Html, joined, tag
from bench.report.page import Page, section
from bench.report.run_folder import Key, Run, cell_file, trail
from bench.report.tables import MOST, Head, TableCell, plain_table, rest, sortable
from bench.report.words import status_word


def grid_page(run: Run) -> Page:
    """Make the page of data sets against models."""
    keys = list(run.boards)
    summaries = overall(run.rows)
    means = [_means(task_id, [s for s in summaries if s.task_id == task_id]) for task_id in dict.fromkeys(s.task_id for s in summaries)]
    heads, lines, order = grid(run)
    table = sortable("Test score of each model on each data set", heads, lines, name=0, order=order, first=FIRST)
    body = joined(
        section("Models against data sets", table, tag("p", "Bold and 'best': the best test score of the column.", class_="caption")),
        section("Means over data sets", means) if means else None,
    )
    models = {row["model"] for row in run.rows}
    words = f"{len(models)} models on {len(keys)} data sets; a cell leads to its page."
    simulated = sum(bool(rows[0].get("simulated")) for rows in run.boards.values())
    facts = [f"{simulated} of {len(keys)} simulated", *run.facts]
    return Page("grid.html", f"{run.task}: all data sets", words, body, trail(run), facts, rest=rest(lines, FIRST))


def grid(run: Run) -> tuple[list[Head], list[list[TableCell]], str]:
    """Lay out data sets against models: number, tint, and a word for what failed; with the order that the table begins with."""
    found = {key: {row["model"]: row for row in reversed(listed(rows))} for key, rows in run.boards.items()}
    merits = {key: sorted(m for m in map(merit, rows.values()) if not math.isnan(m)) for key, rows in found.items()}
    models = list(dict.fromkeys(model for key in found for model in run.models(key)))
    heads = [Head("model", "model"), *(_head(at, run.titles[key], rows) for at, (key, rows) in enumerate(run.boards.items()))]
    body = [[TableCell(clean(model)), *(_cell(key, found[key], merits[key], model) for key in found)] for model in models]
    _, higher = ranking_metric(run.rows[0])
    if len(body) > MOST:
        # the page begins with the best of the column that it is sorted by
        body.sort(key=lambda cells: (-1 if higher else 1) * float(cells[1].order or 0.0))
    return heads, body, f"1:{'desc' if higher else 'asc'}"


def _head(at: int, title: str, rows: Sequence[Row]) -> Head:
    higher = ranking_metric(rows[0])[1]
    simulated = ", simulated" if rows[0].get("simulated") else ""
    return Head(f"{clean(title)}: {ranking_label(rows[0])} ({way(higher=higher)} is better{simulated})", f"d{at}", right=True)


def _cell(key: Key, rows: dict[str, Row], merits: Sequence[float], model: str) -> TableCell:
    """Write one model on one board; `merits`: of all that scored there, sorted."""
    row = rows.get(model)
    higher = ranking_metric(next(iter(rows.values())))[1]
    lost = LAST if higher else -LAST
    if row is None:
        return TableCell("not run", order=lost)
    if row["status"] != "ok":
        return TableCell(status_word(row), order=lost, class_="bad", href=cell_file(key, model))
    value = row.get(ranking_metric(row)[0])
    if value is None:
        return TableCell("no score", order=lost)
    best = merit(row) == merits[-1]
    # four steps of tint from the worst to the best of the column; the number says the same
    place = bisect_right(merits, merit(row)) / len(merits)
    to = cell_file(key, model)
    html = joined(tag("strong", tag("a", plain(value), href=to)), tag("span", " best", class_="word")) if best else None
    return TableCell(plain(value), html, value, f"tint{min(3, int(4 * place - 1e-9))}", to)


def _means(task_id: str, summaries: Sequence[Overall]) -> Html:
    rows = [
        (s.model, signed(s.mean_skill), f"{s.datasets} of {s.possible}", str(s.won), str(s.tied), str(s.failed), str(s.charged))
        for s in summaries[: 2 * FIRST]
    ]
    heads = ("model", "mean skill (higher is better)", "data sets in the mean", "won", "tied", "failed", "charged")
    note = "charged: a failed cell stands in the mean with the worse of the reference's and the worst score."
    return joined(plain_table(clean(task_id), heads, rows), tag("p", note, class_="caption"))
