"""The page of one cell's search and training: what was tried, what mattered, how it learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.metrics import ranking_label, ranking_metric
from bench.board.numbers import plain
from bench.board.schema import Row
from bench.report.chart import Chart, figure_html
from bench.report.choice_words import choice_words
from bench.report.html import Html, joined, tag
from bench.report.page import Page, section
from bench.report.parallel_chart import parallel_chart
from bench.report.protocol_words import protocol_html
from bench.report.run_folder import Key, Run, board_file, cell_file, search_file, trail
from bench.report.search_figures import LEAST, history_chart, importance, importance_chart
from bench.report.tables import plain_table
from bench.report.training_chart import training_chart

MOST = 200
"""Trials that the table lists."""


def search_page(run: Run, key: Key, model: str) -> Page | None:
    """Make the page; None where nothing was searched and nothing reported how it learnt."""
    trials = run.of(run.trials, key, model)
    training = run.drawn_of(key, "training")
    learnt = training_chart(training, model) if training is not None else None
    if not trials and learnt is None:
        return None
    row = run.boards[key][0]
    chosen = choice_words(run.of(run.choices, key, model), higher=ranking_metric(row)[1])
    searched, words = search_charts(trials, row)
    charts = [*([learnt] if learnt is not None else []), *searched]
    body = joined(
        protocol_html(key[0]),
        section("How it learnt", figure_html(learnt)) if learnt is not None else None,
        section("Search", tag("p", words), (figure_html(chart) for chart in searched)) if trials else None,
        section("What it came to", (tag("p", line) for line in chosen)) if trials and chosen else None,
        section("Trials", _trials(trials, row)) if trials else None,
    )
    title = f"Search of {model} on {run.titles[key]}"
    above = [(run.titles[key], board_file(key)), (f"{model} on {run.titles[key]}", cell_file(key, model))]
    return Page(
        search_file(key, model), title, words if trials else learnt.finding if learnt else "", body, trail(run, *above), run.facts, charts
    )


def search_charts(trials: Sequence[Mapping[str, Any]], row: Row) -> tuple[list[Chart], str]:
    """Draw history, parallel coordinates and importance, with what is said of them."""
    label, higher = ranking_label(row), ranking_metric(row)[1]
    history = history_chart(trials, label, higher=higher)
    if history is None:
        return [], ""
    done = sum(t["status"] == "ok" for t in trials)
    words = f"{done} trials ok, {len(trials) - done} failed."
    found = importance(trials, higher=higher)
    lines = parallel_chart(trials, list(found), label, higher=higher)
    drawn = [chart for chart in (history, lines) if chart is not None]
    if not found:
        few = f"at least {LEAST} that worked are needed" if done < LEAST else "nothing varied"
        return drawn, f"{words} Importance of parameters is not computed from {done} trials: {few}."
    return [*drawn, importance_chart(found, done)], words


def _trials(trials: Sequence[Mapping[str, Any]], row: Row) -> Html:
    names = sorted({name for t in trials for name in json.loads(t["params"])})
    shown = sorted(trials, key=lambda t: t["number"])[:MOST]
    left = f", the first {MOST} of {len(trials)}" if len(trials) > MOST else ""
    lines = [
        (
            str(t["number"]),
            t["status"],
            plain(t["value"]),
            plain(t.get("fit_seconds"), 1),
            *(_format_value(json.loads(t["params"]), n) for n in names),
        )
        for t in shown
    ]
    return plain_table(f"Trials{left}", ("trial", "status", f"valid {ranking_label(row)}", "seconds to fit", *names), lines)


def _format_value(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    return "not set" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
