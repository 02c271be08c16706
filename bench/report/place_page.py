"""Cards of a place's first page: for each task what was asked, what to take, and the tie group with its intervals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench.board.across import groups
from bench.board.metrics import ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain, seconds, signed, span
from bench.board.ranking import boards, placed, tie_group, verdict
from bench.board.recommend import cost, recommend
from bench.board.schema import Row
from bench.report.across_page import FILE as ACROSS
from bench.report.html import Html, joined, name_of, tag
from bench.report.interval_strip import Span, scale, strip
from bench.report.page import links
from bench.report.protocol_words import protocol_html, question_of
from bench.report.run_folder import Key, board_file, board_titles, cell_file
from bench.report.tables import TableCell, plain_table
from bench.report.words import simulated_mark

MOST = 5
"""Models of a tie group that a card shows."""


def task_card(task: str, rows: Sequence[Row], folder: str, checked: Sequence[str] = ()) -> Html:
    """Write the card of one task; `folder`: where its pages lie, `site/churn/`; `checked`: how much of it can be and was checked."""
    own = {key: [rows[at] for at in members] for key, members in boards(rows).items()}
    titles = board_titles(own)
    current = [key for key in own if not _outdated(key, own)]
    older = [_board(key, titles[key], own[key], folder) for key in own if key not in current]
    datasets = {row["dataset"] for row in rows}
    dates = [row["created"] for row in rows if row.get("created") is not None]
    facts = [
        f"{len(own)} board{'s' * (len(own) != 1)} on {len(datasets)} data set{'s' * (len(datasets) != 1)}",
        f"{len({row['model'] for row in rows})} models",
        *([f"last run {max(dates):%Y-%m-%d}"] if dates else []),
    ]
    pages = [("across data sets", f"{folder}{ACROSS}")] if groups(rows) else []
    return tag(
        "article",
        tag("h3", tag("a", f"{task} benchmark", href=f"{folder}index.html")),
        tag("p", question_of(task), class_="card-verdict") if question_of(task) else None,
        tag("ul", (tag("li", name_of(fact)) for fact in facts), class_="facts"),
        (tag("p", clean(words), class_="caption") for words in checked),
        links(pages, f"Pages of {task}") if pages else None,
        (_board(key, titles[key], own[key], folder) for key in current),
        older and tag("details", tag("summary", f"Boards of earlier protocols: {len(older)}"), older),
        class_="card",
    )


def _outdated(key: Key, others: Iterable[Key]) -> bool:
    """Return whether the same data set has a board by a newer protocol of the task."""
    return any(other[1] == key[1] and _version(other[0]) > _version(key[0]) for other in others)


def _version(task_id: str) -> int:
    """Read the version of a protocol: 2 of `churn/v2/...`; 0 where it has none."""
    found = re.match(r"[^/]+/v(\d{1,6})(/|$)", task_id)
    return int(found[1]) if found else 0


def _board(key: Key, title: str, rows: Sequence[Row], folder: str) -> Html:
    best = recommend(rows)
    said = verdict(rows) if best is None else best.words
    return joined(
        tag("h4", tag("a", name_of(title), href=f"{folder}{board_file(key)}"), " ", simulated_mark(rows)),
        tag("p", f"{said[:1].upper()}{said[1:]}.", class_="recommendation"),
        _group(key, title, rows, folder),
        # the same long sentence under each board would bury the recommendations
        tag("details", tag("summary", "Protocol"), protocol_html(key[0])),
    )


def _group(key: Key, title: str, rows: Sequence[Row], folder: str) -> Html | None:
    group = tie_group(rows)
    if not group:
        return None
    shown = group[:MOST] if len(group) > 1 else placed(rows)[:2]
    # who is recommended stands there, however many others are nearer to the leader
    best = recommend(rows)
    if best is not None and best.model["model"] not in {row["model"] for row in shown}:
        shown = [*shown[: MOST - 1], best.model]
    spans: list[Span] = [(row.get("behind_low"), row.get("behind"), row.get("behind_high")) for row in shown]
    ends = scale(spans, zero=True)
    metric, higher = ranking_metric(rows[0])
    lines = [
        (
            TableCell(row["model"], tag("a", name_of(row["model"]), href=f"{folder}{cell_file(key, row['model'])}")),
            plain(row.get(metric)),
            _behind(row, at, one, ends),
            seconds(cost(row, rows)),
        )
        for at, (row, one) in enumerate(zip(shown, spans, strict=True))
    ]
    left = f"; {len(group) - len(shown)} more are tied" if len(group) > len(shown) else ""
    what = "the tie group" if len(group) > 1 else "the leader and the next"
    caption = f"{clean(title)}: {what}{left}; {way(higher=higher)} {ranking_label(rows[0])} is better"
    return plain_table(caption, ("model", f"test {ranking_label(rows[0])}", "behind the leader, 95 % interval", "seconds"), lines)


def _behind(row: Row, at: int, one: Span, ends: tuple[float, float]) -> TableCell:
    words = "leads" if at == 0 else span(row.get("behind_low"), row.get("behind_high"), signed)
    # the words before the numbers keep the strips of all rows on one left edge
    return TableCell(f"behind: {words}", tag("span", strip(one, ends, zero=True), tag("span", words), class_="interval"))
