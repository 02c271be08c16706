"""The first page, which says who leads, whether to believe it, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.board.across import groups
from bench.board.metrics import ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain, several, span
from bench.board.ranking import label, placed, tie_group, verdict
from bench.board.recommend import recommend
from bench.board.schema import Row
from bench.board.view import listed
from bench.report.across_page import FILE as ACROSS
from bench.report.html import Html, joined, name_of, tag
from bench.report.interval_strip import Span, scale, strip
from bench.report.page import Link, Page, links, section
from bench.report.pages import NAMES, at_board, overview_files
from bench.report.protocol_words import protocol_html
from bench.report.run_folder import Key, Run, board_file, cell_file
from bench.report.tables import TableCell, plain_table
from bench.report.words import failures, simulated_mark, status_word

TOP = 3
"""Models that a card names where nothing ties."""
MOST = 8


def index_page(run: Run) -> Page:
    """Make the index: failures first where there are any, then a card for each board, then the ways on."""
    cards = tag("div", (_card(run.titles[key], key, rows) for key, rows in run.boards.items()), class_="cards")
    body = joined(_failed(run), section("Boards", cards), section("More", _ways(run)))
    title = f"{run.task} benchmark"
    return Page("index.html", title, _summary(run), body, [], run.facts)


def cell_counts(rows: Sequence[Row]) -> Counter[str]:
    """Count cells by how they ended: ok where any row of the cell is, else the status of its first row."""
    cells: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row["task_id"], row["dataset"], row["model"]), []).append(row)
    return Counter("ok" if any(r["status"] == "ok" for r in own) else own[0]["status"] for own in cells.values())


def counted(rows: Sequence[Row]) -> str:
    """Format the counts: `22 cells ok, 1 oom, 1 skipped`."""
    counts = cell_counts(rows)
    others = [f"{n} {status}" for status, n in sorted(counts.items()) if status != "ok"]
    return ", ".join([f"{counts['ok']} cells ok", *others])


def _summary(run: Run) -> str:
    boards = run.boards
    simulated = sum(bool(rows[0].get("simulated")) for rows in boards.values())
    leaders = Counter(model for rows in boards.values() if (model := _leader(rows)))
    led = several([f"{clean(model)} leads on {n}" for model, n in leaders.most_common()], TOP) if leaders else "nothing is ranked"
    return f"{len(boards)} board{'s' * (len(boards) != 1)} ({simulated} of simulated data): {led}. {counted(run.rows)}."


def _leader(rows: Sequence[Row]) -> str:
    order = placed(rows)
    return str(order[0]["model"]) if order else ""


def _failed(run: Run) -> Html | None:
    found = failures(run.rows)
    if not found:
        return None
    lines = [
        (
            TableCell(
                words := f"{row['model']} on {run.titles[_key(row)]}", tag("a", name_of(words), href=cell_file(_key(row), row["model"]))
            ),
            status_word(row),
            row.get("reason") or "no reason was given",
        )
        for row in found[:MOST]
    ]
    more = tag("p", f"and {len(found) - MOST} more in ", tag("a", "the run", href="run.html")) if len(found) > MOST else None
    return section(f"Failed or skipped: {len(found)}", plain_table("Cells without a score", ("cell", "status", "reason"), lines), more)


def _key(row: Row) -> Key:
    return row["task_id"], label(row)


def _card(title: str, key: Key, rows: Sequence[Row]) -> Html:
    return tag(
        "article",
        tag("h3", tag("a", name_of(title), href=board_file(key)), " ", simulated_mark(rows)),
        tag("p", verdict(rows), class_="card-verdict"),
        tag("p", f"{said[:1].upper()}{said[1:]}.", class_="recommendation") if (said := _advice(rows)) else None,
        _tops(title, key, rows),
        tag("p", f"{counted(rows)}.", class_="caption"),
        protocol_html(key[0]),
        class_="card",
    )


def _advice(rows: Sequence[Row]) -> str:
    best = recommend(rows)
    return "" if best is None else best.words


def _tops(title: str, key: Key, rows: Sequence[Row]) -> Html | None:
    scored = [row for row in listed(rows) if row["status"] == "ok" and row.get(ranking_metric(row)[0]) is not None]
    if not scored:
        return None
    metric, higher = ranking_metric(scored[0])
    tied = tie_group(scored)
    group = len(tied) > 1
    top = [*tied, *(row for row in scored if row not in tied)][: min(max(len(tied), TOP), MOST)] if group else scored[:TOP]
    spans: list[Span] = [(r.get(f"{metric}_low"), r.get(metric), r.get(f"{metric}_high")) for r in top]
    ends = scale(spans)
    lines = [
        (
            TableCell(row["model"], tag("a", name_of(row["model"]), href=cell_file(key, row["model"]))),
            "unranked" if row.get("rank") is None else str(row["rank"]),
            plain(row.get(metric)),
            TableCell(span(s[0], s[2]), tag("span", strip(s, ends), tag("span", span(s[0], s[2])), class_="interval")),
        )
        for row, s in zip(top, spans, strict=True)
    ]
    head = ("model", "rank", f"test {ranking_label(scored[0])}", "95 % interval")
    words = f"{'the leader and all tied with it' if group else 'first models'} ({way(higher=higher)} is better)"
    left = f"; {len(tied) - len(top)} more are tied" if len(tied) > len(top) else ""
    return plain_table(f"{clean(title)}: {words}{left}", head, lines)


def _ways(run: Run) -> Html:
    files = overview_files(run.drawn)
    kinds = {f["kind"]: files[at_board(f)] for f in reversed(run.drawn)}
    pairs: list[Link] = [(NAMES[kind].way, to) for kind, to in kinds.items()]
    pairs += [("All data sets in one grid", "grid.html")] if len(run.boards) > 1 else []
    pairs += [("Across data sets: mean ranks, pairs of models", ACROSS)] if groups(run.rows) else []
    return links([*pairs, ("The run: every row, hardware, versions", "run.html")], "More pages")
