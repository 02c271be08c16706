"""The page across data sets: mean ranks, wins of pairs, mean skill, and one model against another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.board.across import Group, groups, mean_ranks, mean_skills, wins
from bench.board.metrics import ranking_label
from bench.board.numbers import clean, signed, span
from bench.report.across_charts import ranks_chart, versus_chart, versus_data
from bench.report.chart import Chart, figure_html
from bench.report.html import Html, joined, tag
from bench.report.interval_strip import Span, scale, strip
from bench.report.page import Page, section
from bench.report.run_folder import Run, trail
from bench.report.tables import TableCell, plain_table

FILE = "across.html"
MOST = 15
"""Models of the win matrix."""
MOST_SKILLS = 50
"""Models of the table of skills."""


def across_page(run: Run) -> Page | None:
    """Make the page; None where no two data sets can be compared."""
    found = groups(run.rows)
    if not found:
        return None
    parts, charts = [], []
    more: dict[str, Any] = {}
    for at, group in enumerate(found):
        made, drawn, data = _part(group, at)
        parts.append(section(group.title or f"All {len(group.boards)} data sets", made) if len(found) > 1 else made)
        charts += drawn
        more |= data
    sets = sorted({name for group in found for name in group.boards})
    words = _words(found[0])
    return Page(
        FILE, f"{run.task}: across data sets", words, joined(parts), trail(run), [f"{len(sets)} data sets", *run.facts], charts, more=more
    )


def _words(group: Group) -> str:
    ranked = mean_ranks(group)
    if ranked is None:
        return "No two models were run on all data sets."
    near = [m for m, r in zip(ranked.models, ranked.ranks, strict=True) if r - ranked.ranks[0] <= ranked.difference]
    if len(near) > 1:
        return f"{clean(ranked.models[0])} has the best mean rank; {len(near) - 1} others are within the critical difference of it."
    return f"{clean(ranked.models[0])} has the best mean rank, and no other model is within the critical difference of it."


def _part(group: Group, at: int) -> tuple[Html, list[Chart], dict[str, Any]]:
    ranked, data = mean_ranks(group), versus_data(group)
    order = list(ranked.models) if ranked is not None else [one.model for one in mean_skills(group)]
    charts = [_of_group(group, ranks_chart(ranked, f"ranks-{at}"))] if ranked is not None else []
    pair = order[:2]
    versus = _of_group(group, versus_chart(group, data, pair[0], pair[1], f"versus-{at}")) if len(pair) == 2 else None
    body = joined(
        [figure_html(chart) for chart in charts] or tag("p", "No two models were run on all data sets, so there is no mean rank."),
        _skills(group),
        _matrix(group, order),
        joined(tag("h2", "One against another"), _chooser(sorted(data["models"]), pair, at), figure_html(versus)) if versus else None,
    )
    drawn = [*charts, *([versus] if versus else [])]
    return body, drawn, {f"versus-{at}": data} if versus else {}


def _chooser(models: Sequence[str], pair: Sequence[str], at: int) -> Html:
    selects = (
        tag("label", f"{words} ", tag("select", (tag("option", clean(m), value=m, selected=m == chosen) for m in models), name=name))
        for words, name, chosen in (("First model", "a", pair[0]), ("Second model", "b", pair[1]))
    )
    return tag("form", selects, class_="controls needs-script", data_choose="versus", data_chart=f"versus-{at}")


def _skills(group: Group) -> Html:
    found = mean_skills(group)
    shown = found[:MOST_SKILLS]
    spans: list[Span] = [(one.low, one.mean, one.high) for one in shown]
    ends = scale(spans, zero=True)
    rows = [
        (
            one.model,
            signed(one.mean),
            TableCell(span(one.low, one.high, signed), _strip(s, ends, span(one.low, one.high, signed))),
            "too few data sets" if math.isnan(one.other_low) else span(one.other_low, one.other_high, signed),
            str(one.datasets),
        )
        for one, s in zip(shown, spans, strict=True)
    ]
    label = ranking_label(group.rows[0])
    heads = ("model", f"mean skill in test {label} (higher is better)", "95 % on these data sets", "95 % on others like these", "data sets")
    left = f", the first {MOST_SKILLS} of {len(found)} models" if len(found) > MOST_SKILLS else ""
    one = "Of several boards of one data set, that with most models counts."
    said = f"{one} On these data sets: users or series drawn anew within each. On others like these: Student's t over the data sets."
    return joined(plain_table(_named(group, f"Skill averaged over data sets{left}"), heads, rows), tag("p", said, class_="caption"))


def _of_group(group: Group, chart: Chart) -> Chart:
    return replace(chart, title=_named(group, chart.title))


def _named(group: Group, caption: str) -> str:
    """Let no two tables of a page have one name, where it has several groups of boards."""
    return f"{caption} ({clean(group.title)})" if group.title else caption


def _strip(one: Span, ends: tuple[float, float], words: str) -> Html:
    return tag("span", strip(one, ends, zero=True), tag("span", words), class_="interval")


def _matrix(group: Group, order: Sequence[str]) -> Html:
    models = list(order)[:MOST]
    won, met = wins(group, models)
    rows: list[tuple[str | TableCell, ...]] = [
        (model, *(_won(won[a, b], int(met[a, b]), same=a == b) for b in range(len(models)))) for a, model in enumerate(models)
    ]
    left = f", the first {MOST} of {len(order)} models" if len(order) > MOST else ""
    said = (
        "Row against column: on how many data sets the row's model has the better score, of how many that have both; equal scores: a half."
    )
    return joined(plain_table(_named(group, f"Wins of pairs{left}"), ("model", *models), rows), tag("p", said, class_="caption"))


def _won(won: float, met: int, *, same: bool) -> TableCell:
    if same or not met:
        return TableCell("same" if same else "never met")
    return TableCell(f"{won:g} of {met}", class_=f"won tint{min(3, math.ceil(3 * won / met))}" if won else "won")
