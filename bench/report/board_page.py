"""The page of one board, (task id, data set), which answers which model to take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.board.drift import drift_words
from bench.board.families import agreement_words, search_agreement_words
from bench.board.metrics import metrics_of, ranking_label, ranking_metric, shown_metrics, way
from bench.board.numbers import clean, plain, seconds, signed, span
from bench.board.ranking import merit, verdict
from bench.board.schema import Row
from bench.board.view import board_views, listed, tied_word
from bench.metrics.kinds import Metric
from bench.report.anytime_chart import anytime_chart
from bench.report.board_figures import fit_seconds_of, forest_chart, pareto_chart
from bench.report.chart import FIRST, Chart, figure_html
from bench.report.coverage_chart import coverage_chart
from bench.report.detection_tables import by_kind
from bench.report.figures import horizon_chart
from bench.report.html import Html, joined, name_of, tag
from bench.report.interval_strip import Span, scale, strip
from bench.report.next_charts import next_charts
from bench.report.next_users import users_section
from bench.report.overview_chart import overview_charts
from bench.report.page import Link, Page, links, section
from bench.report.pages import NAMES, at_board, overview_files
from bench.report.protocol_words import protocol_html
from bench.report.run_folder import Key, Run, board_file, cell_file, trail
from bench.report.seeds_chart import seeds_chart
from bench.report.tables import Head, TableCell, plain_table, rest, sortable
from bench.report.words import failures, flags_html, metric_head, simulated_mark, status_word

Spell = Callable[[float | None], str]
LAST = -1e99
"""Sorts what has no number below everything that has one; its negative, above, where lower is better."""


def board_page(run: Run, key: Key) -> Page:
    """Make the page of one board: table, forest plot, score against seconds, the data set's facts."""
    rows = run.boards[key]
    shown = listed(rows)
    charts = _charts(run, key, shown)
    data_charts = _data_charts(run, key)
    view = board_views(rows)[0]
    caption, lines = board_rows(run.titles[key], key, shown, rows)
    first = leading_rows(shown)
    table = sortable(caption, heads(rows[0]), lines, name=2, first=first)
    body = joined(
        tag("p", tag("strong", "Recommendation: "), f"{view.recommendation}.", class_="recommendation") if view.recommendation else None,
        _warning(rows),
        section("Leaderboard", table, _legend(shown), tag("p", view.caption, class_="caption"), rows_links()),
        _failed(rows),
        section("Charts", (figure_html(chart) for chart in charts)) if charts else None,
        _users(run, key),
        _detected(run, key),
        _linked(run, key),
        section(
            "The data set",
            (figure_html(chart) for chart in data_charts),
            _about(run, key),
            protocol_html(key[0]),
        ),
    )
    simulated = ["simulated data"] if any(r.get("simulated") for r in rows) else []
    facts = [*simulated, *filter(None, [view.facts]), *run.facts]
    all_charts = [*charts, *data_charts]
    title = f"{run.task}: {run.titles[key]}"
    return Page(board_file(key), title, verdict(rows), body, trail(run), facts, all_charts, rest=rest(lines, first))


def rows_links() -> Html:
    """Link the rows of the whole report; a place has its own."""
    files = (tag("a", name, href=to) for name, to in (("rows.csv", "rows.csv"), ("leaderboard.parquet", "../leaderboard.parquet")))
    return tag("p", "All rows: ", [part for file in files for part in (file, " ")], class_="caption")


def leading_rows(shown: Sequence[Row]) -> int:
    """Return how many rows a long board begins with: its tie group, 25 at least and 50 at most."""
    return min(max(FIRST, sum(bool(row.get("tied")) for row in shown)), 2 * FIRST)


def board_rows(title: str, key: Key, shown: Sequence[Row], rows: Sequence[Row]) -> tuple[str, list[list[TableCell]]]:
    """Lay out the board's caption and rows: tie groups, intervals as strips, failures with their reasons."""
    metric, higher = ranking_metric(rows[0])
    spans: list[Span] = [(r.get("skill_low"), r.get("skill"), r.get("skill_high")) for r in shown if r["status"] == "ok"]
    ends = scale(spans, zero=True)
    tests: list[Span] = [(r.get(f"{metric}_low"), r.get(metric), r.get(f"{metric}_high")) for r in shown if r["status"] == "ok"]
    body = [_cells(key, row, at, ends, scale(tests)) for at, row in enumerate(shown)]
    caption = f"{title}: {len(shown)} models by test {ranking_label(rows[0])}, {way(higher=higher)} is better"
    return clean(caption), body


def heads(row: Row) -> list[Head]:
    """Name the columns: eight that show, the other metrics and costs behind the picker."""
    label, better = ranking_label(row), way(higher=ranking_metric(row)[1])
    reference = clean(row.get("reference") or "the reference")
    first, *rest = (Head(metric_head(m), m.name, right=True, hidden=at > 0) for at, m in enumerate(others(row)))
    return [
        Head("rank", "rank"),
        Head("tied with the leader", "tied", choices=True),
        Head("model", "model"),
        Head(f"skill against {reference} (higher is better)", "skill", right=True),
        Head("95 % interval of skill", "skill-span"),
        Head(f"test {label} ({better} is better)", "metric", right=True),
        Head(f"95 % interval of test {label}", "metric-span", hidden=True),
        first,
        Head("seconds", "seconds", right=True),
        Head("tuning", "tuning", choices=True),
        Head("flags and reason", "note"),
        Head("status", "status", choices=True, hidden=True),
        Head(f"valid {label}", "valid", right=True, hidden=True),
        Head("trials", "trials", right=True, hidden=True),
        Head("memory, MB", "memory", right=True, hidden=True),
        *rest,
    ]


def others(row: Row) -> list[Metric]:
    """List the metrics of a row's task beside the one that ranks, those that the printed board shows with it first."""
    ranking, _ = ranking_metric(row)
    shown = [one.name for one in shown_metrics(row)]
    found = [m for name, m in metrics_of(row["task"]).items() if name != ranking]
    return sorted(found, key=lambda m: shown.index(m.name) if m.name in shown else len(shown))


def _cells(key: Key, row: Row, at: int, ends: tuple[float, float], tests: tuple[float, float]) -> list[TableCell]:
    metric, higher = ranking_metric(row)
    failed = row["status"] != "ok"
    gone = status_word(row)
    group = "tied" if row.get("tied") else ""

    def number(value: float | None, spell: Spell = plain, *, up: bool = True) -> TableCell:
        return TableCell(gone, order=_worst(up=up), class_="bad") if failed else _number(value, spell, up=up)

    first, *rest = (number(row.get(m.name), up=m.higher_is_better) for m in others(row))
    return [
        TableCell("unranked" if row.get("rank") is None else str(row["rank"]), order=at, class_=group),
        TableCell(tied_word(row) if row.get("rank") is not None else "unranked", class_=group),
        TableCell(clean(row["model"]), class_=group, href=cell_file(key, row["model"])),
        number(row.get("skill"), signed),
        _interval(row, "skill", ends, failed=failed),
        number(row.get(metric), up=higher),
        _interval(row, metric, tests, failed=failed),
        first,
        TableCell(seconds(fit_seconds_of(row)), order=fit_seconds_of(row)),
        TableCell(row["tuning"]),
        TableCell("; ".join(filter(None, [", ".join(row.get("flags") or []), clean(row.get("reason") or "")])) or "none"),
        TableCell(gone),
        _number(row.get("valid_score"), plain, up=higher),
        TableCell(str(row.get("trials") or 0), order=row.get("trials") or 0),
        _number(row.get("peak_memory_mb"), lambda megabytes: plain(megabytes, 0)),
        *rest,
    ]


def _worst(*, up: bool) -> float:
    return LAST if up else -LAST


def _number(value: float | None, spell: Spell, *, up: bool = True) -> TableCell:
    return TableCell("not measured", order=_worst(up=up)) if value is None else TableCell(spell(value), order=value)


def _interval(row: Row, metric: str, ends: tuple[float, float], *, failed: bool) -> TableCell:
    skill = metric == "skill"
    up = skill or ranking_metric(row)[1]
    if failed:
        return TableCell(status_word(row), order=_worst(up=up), class_="bad")
    low, value, high = (row.get(name) for name in (f"{metric}_low", metric, f"{metric}_high"))
    is_reference = skill and row["model"] == row.get("reference") and not value
    words = "reference" if is_reference else span(low, high, signed if skill else plain)
    picture = strip((low, value, high), ends, zero=skill)
    return TableCell(words, tag("span", picture, tag("span", words), class_="interval"), order=_worst(up=up) if value is None else value)


def _legend(shown: Sequence[Row]) -> Html | None:
    flags = sorted({flag for row in shown for flag in row.get("flags") or []})
    said = "Tied: the leader, and all that the 95 % interval of the difference does not tell apart from it; they are tinted."
    ties = tag("p", said, class_="caption")
    tied = any(row.get("tied") for row in shown)
    return joined(
        ties if tied else None, tag("details", tag("summary", "What the flags mean"), tag("ul", flags_html(flags))) if flags else None
    )


def _warning(rows: Sequence[Row]) -> Html | None:
    weak = all("underpowered" in (r.get("flags") or []) for r in rows if r["status"] == "ok") and any(r["status"] == "ok" for r in rows)
    return (
        tag("p", tag("strong", "Underpowered: "), "nothing is ranked; the numbers show what ran, not who is better.", class_="warn")
        if weak
        else None
    )


def _failed(rows: Sequence[Row]) -> Html | None:
    found = failures(rows)
    if not found:
        return None
    lines = [(row["model"], status_word(row), row.get("reason") or "no reason was given") for row in found]
    return section(f"Failed or skipped: {len(found)}", plain_table("Cells without a score", ("model", "status", "reason"), lines))


def _charts(run: Run, key: Key, shown: Sequence[Row]) -> list[Chart]:
    order = sorted(
        (r for r in shown if r["status"] == "ok"), key=lambda r: (r.get("rank") is None, r.get("rank") or 0, -merit(r), r["model"])
    )
    figures = [f for f in run.of(run.drawn, key) if f["kind"] == "forecast"]
    wide = [horizon_chart(figure) for figure in figures]
    seeds = seeds_chart(run.boards[key], [row["model"] for row in order])
    anytime = anytime_chart(order, run.of(run.trials, key))
    nexts = next_charts(order, run.of(run.details, key))
    found = (forest_chart(order), pareto_chart(order), seeds, anytime, *wide, coverage_chart(order[:FIRST]), *nexts)
    return [chart for chart in found if chart is not None]


def _data_charts(run: Run, key: Key) -> list[Chart]:
    figure = run.drawn_of(key, "overview")
    return [] if figure is None else overview_charts(figure)


def _detected(run: Run, key: Key) -> Html | None:
    table = by_kind(run.of(run.details, key), run.models(key))
    return section("What was found", table) if table is not None else None


def _users(run: Run, key: Key) -> Html | None:
    """Show single users of next events; a place has none, whoever published what."""
    figure = None if run.merged else run.drawn_of(key, "next-users")
    return users_section(figure) if figure is not None else None


def _linked(run: Run, key: Key) -> Html | None:
    files = overview_files(run.drawn)
    found = run.of(run.drawn, key)
    pairs: list[Link] = [(NAMES[f["kind"]].link, files[at_board(f)]) for f in found]
    return section("Model by model", links(pairs, "Model by model")) if pairs else None


def _about(run: Run, key: Key) -> Html:
    found = next((d for d in run.about.get("datasets", ()) if (d["task_id"], d["name"]) == (key[0], run.dataset(key))), None)
    drift = drift_words(run.boards[key], list(run.of(run.details, key))) if run.task == "churn" else []
    notes = [*(found["notes"] if found else ()), *drift, *(_search_agreement(run, key) if run.task == "anomaly" else ())]
    facts = (
        [(str(k).replace("_", " "), _format_value(v)) for k, v in found["facts"].items() if not isinstance(v, dict | list)] if found else []
    )
    table = plain_table("Facts of the split", ("what", "value"), facts) if facts else None
    return joined(simulated_mark(run.boards[key]), tag("ul", (tag("li", name_of(note)) for note in notes)) if notes else None, table)


def _search_agreement(run: Run, key: Key) -> list[str]:
    """Describe how what chose without labels ranks beside them, over the detectors of both modes."""
    rows = [row for place, own in run.boards.items() if place[0] == key[0] and run.dataset(place) == run.dataset(key) for row in own]
    return [*search_agreement_words(rows), *agreement_words(list(run.of(run.details, key)))]


def _format_value(value: Any) -> str:
    return (
        plain(value) if isinstance(value, float) and not value.is_integer() else f"{value:,.0f}" if isinstance(value, float) else str(value)
    )
