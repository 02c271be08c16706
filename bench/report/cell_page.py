"""The page of one cell, (task id, data set, model), which says whether a number is sound and how to get it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.board.metrics import metrics_of, ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain, seconds, signed, span
from bench.board.recommend import is_mixture
from bench.board.schema import Row
from bench.report.board_figures import fit_seconds_of
from bench.report.chart import Chart, figure_html
from bench.report.detection_tables import by_strength
from bench.report.html import Html, joined, tag
from bench.report.page import Link, Page, links, section
from bench.report.pages import NAMES, Figure, at_board, charts_html, model_charts, overview_files, words_of
from bench.report.predictions_chart import KIND, WITHOUT, predictions_chart
from bench.report.protocol_words import protocol_html
from bench.report.recall_chart import recall_chart
from bench.report.run_folder import Key, Run, board_file, cell_file, search_file, trail
from bench.report.search_figures import history_chart
from bench.report.tables import plain_table
from bench.report.words import command, command_html, flags_html, listing, params_table, status_word

UNPUBLISHED = "not published with this run"
MOST_CHARTS = 6
TASKS_DRAWN = ("churn", "forecasting", "anomaly")
"""Tasks whose runs draw figures of their own."""


def cell_page(run: Run, key: Key, model: str) -> Page:
    """Make the page of one cell: score, command, status, task charts, search, parameters, log."""
    own = run.cells[key][model]
    best = run.chosen_row(key, model)
    drawn = [(figure, model_charts(figure, model)) for figure in run.of(run.drawn, key)]
    charts = [chart for _, own in drawn for chart in own]
    searched, words = _search(run, key, model, best)
    recall = recall_chart(run.of(run.details, key, model), model)
    told = _absent(run, key, model)
    charts += [chart for chart in (recall, *told.values()) if chart is not None]
    # the page of the search, one click away, has its chart too
    searched = searched if len(charts) < MOST_CHARTS else []
    body = joined(
        protocol_html(key[0]),
        section("Score", _score(run, key, best), _all_rows(own)),
        _repeat(run, key, model),
        *(_figure_section(run, figure, model, own) for figure, own in drawn if own),
        section("Recall", figure_html(recall)) if recall is not None else None,
        _told(told),
        _rates(run, key, model),
        _detected(run, key, model),
        section("Search", tag("p", words), (figure_html(chart) for chart in searched), _further(run, key, model)),
        section("Parameters", _params(best)),
        _log(run, key, model),
        section("Neighbours", _neighbours(run, key, model)),
    )
    to_board: Link = (run.titles[key], board_file(key))
    title = f"{model} on {run.titles[key]}"
    simulated = ["simulated data"] if best.get("simulated") else []
    facts = [*simulated, *run.facts]
    return Page(cell_file(key, model), title, _verdict(best), body, trail(run, to_board), facts, [*charts, *searched])


def _repeat(run: Run, key: Key, model: str) -> Html | None:
    config = run.config(key)
    if not config:
        return None
    said = (
        "As it was run; capital letters stand for where your copy of the data lies:"
        if run.merged
        else "This model, as it was run (the run folder is found again):"
    )
    # an ensemble is made of the others: they are all run again
    mixed = any(map(is_mixture, run.cells[key][model]))
    return section("Repeat", command_html(command(config, "" if mixed else model), said))


def _figure_section(run: Run, figure: Figure, model: str, charts: Sequence[Chart]) -> Html:
    """Show the charts of the task, with the way to those of all models."""
    named, to = NAMES[figure["kind"]], overview_files(run.drawn)[at_board(figure)]
    said = words_of(figure, model)
    way = links([(f"{named.title} of all models", to)], "All models")
    return section(named.own, charts_html(figure, charts), tag("p", said) if said else None, way)


def _verdict(row: Row) -> str:
    metric, higher = ranking_metric(row)
    if row["status"] != "ok":
        return f"{status_word(row)}: {clean(row.get('reason') or 'no reason was given')}"
    interval = span(row.get(f"{metric}_low"), row.get(f"{metric}_high"))
    rank = f"rank {row['rank']}" if row.get("rank") is not None else "unranked"
    tied = ", statistically tied with the leader" if row.get("tied") and row["rank"] > 1 else ""
    return f"Test {ranking_label(row)} {plain(row.get(metric))} (95 % interval {interval}; {way(higher=higher)} is better), {rank}{tied}."


def _score(run: Run, key: Key, row: Row) -> Html:
    """Put the score beside the reference's and the default's."""
    metric, higher = ranking_metric(row)
    name = str(row.get("reference") or "")
    cells = run.cells[key]
    reference = run.chosen_row(key, name) if name in cells else None
    default = next((r for r in cells[row["model"]] if r["tuning"] == "default" and r["status"] == "ok"), None)
    default = None if default is row else default
    named = [(f"this model, {row['tuning']}", row), ("this model, default", default), ("reference", reference)]
    lines = [
        (
            f"{what}: {clean(r['model'])}" if what == "reference" else what,
            plain(r.get(metric)),
            span(r.get(f"{metric}_low"), r.get(f"{metric}_high")),
        )
        for what, r in named
        if r is not None and r["status"] == "ok"
    ]
    gap = (signed(row.get("skill")), span(row.get("skill_low"), row.get("skill_high"), signed))
    words = f"Against the reference: {gap[0]} ({gap[1]}), higher is better." if row.get("skill") is not None else ""
    head = ("what", f"test {ranking_label(row)} ({way(higher=higher)} is better)", "95 % interval")
    flags = tag("ul", flags_html(row["flags"]), class_="flags") if row.get("flags") else None
    return joined(plain_table("Test score", head, lines) if lines else None, tag("p", words) if words else None, flags)


def _all_rows(own: Sequence[Row]) -> Html:
    """List every row of the cell, and all metrics of the task behind a heading."""
    metric, _ = ranking_metric(own[0])
    head = ("tuning", "seed", "status", f"test {ranking_label(own[0])}", f"valid {ranking_label(own[0])}", "seconds", "memory, MB")
    lines = [
        (
            r["tuning"],
            str(r.get("seed") if r.get("seed") is not None else "none"),
            status_word(r),
            plain(r.get(metric)),
            plain(r.get("valid_score")),
            seconds(fit_seconds_of(r)),
            plain(r.get("peak_memory_mb"), 0),
        )
        for r in own
    ]
    all_metrics = [
        (
            name,
            *(
                f"{plain(r.get(name))} ({span(r.get(f'{name}_low'), r.get(f'{name}_high'))})" if r.get(name) is not None else "not measured"
                for r in own
            ),
        )
        for name in metrics_of(own[0]["task"])
    ]
    heads = ("metric", *(f"{r['tuning']}, seed {r.get('seed')}" for r in own))
    more = tag("details", tag("summary", "All metrics"), plain_table("Test metrics with 95 % intervals", heads, all_metrics))
    return joined(plain_table("Rows of this cell", head, lines), more)


def _search(run: Run, key: Key, model: str, best: Row) -> tuple[list[Chart], str]:
    trials = run.of(run.trials, key, model)
    history = history_chart(trials, ranking_label(best), higher=ranking_metric(best)[1])
    if history is None:
        if is_mixture(best):
            return [], "No search of its own: it is a mean of other models, whose pages show theirs."
        if run.merged and best.get("trials"):
            return [], f"{best['trials']} trials, {best.get('failed_trials') or 0} failed; the trials are {UNPUBLISHED}."
        return [], "No search: this model has no parameters to tune, or it did not run."
    done = sum(t["status"] == "ok" for t in trials)
    return [history], f"{done} trials ok, {len(trials) - done} failed; stopped by {best.get('stopped_by') or 'nothing known'}."


def _further(run: Run, key: Key, model: str) -> Html | None:
    """Lead to the page of the search, where there is one."""
    learnt = run.drawn_of(key, "training")
    if not run.of(run.trials, key, model) and not (learnt and learnt["models"].get(model)):
        return None
    return links([("All trials, parameters that mattered, learning curve", search_file(key, model))], "Search")


def _absent(run: Run, key: Key, model: str) -> dict[str, Chart | None]:
    """State what a published run has not brought with it, and draw what its predictions tell; nothing on the page of a run's own report."""
    if not run.merged or run.task not in TASKS_DRAWN or run.chosen_row(key, model)["status"] != "ok":
        return {}
    figure = run.drawn_of(key, KIND)
    if figure is not None and model in figure["models"]:
        return {WITHOUT: predictions_chart(figure, model)}
    return {} if any(model in one["models"] for one in run.of(run.drawn, key)) else {f"Curves and series are {UNPUBLISHED}.": None}


def _told(told: Mapping[str, Chart | None]) -> list[Html]:
    return [section("Predictions", tag("p", words, class_="note"), figure_html(c) if c is not None else None) for words, c in told.items()]


def _rates(run: Run, key: Key, model: str) -> Html | None:
    """List predicted and actual churn rates by cut-off."""
    found = [d for d in run.of(run.details, key, model) if d.get("predicted") is not None]
    if not found:
        return None
    lines = [(str(d["cutoff"]), plain(d["predicted"]), plain(d["actual"]), signed(d["predicted"] - d["actual"])) for d in found]
    table = plain_table("Churn rate by cut-off", ("cut-off", "predicted", "actual", "difference"), lines)
    return section("Predicted and actual churn", table)


def _detected(run: Run, key: Key, model: str) -> Html | None:
    table = by_strength(run.of(run.details, key, model), model)
    return section("What was found", table) if table is not None else None


def _params(row: Row) -> Html:
    head, rows = params_table(row.get("params"))
    if not rows:
        return tag("p", "None.")
    return plain_table(f"Parameters of the {row['tuning']} fit", head, rows)


def _log(run: Run, key: Key, model: str) -> Html | None:
    name, lines = run.log(key, model)
    if not lines:
        return None
    text = "\n".join(clean(line) if line.strip() else "" for line in lines)
    box = tag("pre", text, tabindex=0, role="region", aria_label="Log")
    return section("Log", tag("p", f"The last {len(lines)} lines of {name}:"), box)


def _neighbours(run: Run, key: Key, model: str) -> Html:
    models = run.models(key)
    at = models.index(model)
    near: list[Link] = [(f"previous: {models[at - 1]}", cell_file(key, models[at - 1]))] if at else []
    near += [(f"next: {models[at + 1]}", cell_file(key, models[at + 1]))] if at + 1 < len(models) else []
    far: list[Link] = [
        (f"{model} on {run.titles[other]}", cell_file(other, model)) for other, own in run.cells.items() if other != key and model in own
    ]
    made = listing([("plugin", plugin)]) if (plugin := _plugin(run, key, model)) else None
    return joined(links([*near, *far], "Neighbours") if near or far else None, made)


def _plugin(run: Run, key: Key, model: str) -> str:
    row = run.chosen_row(key, model)
    return " ".join(filter(None, [row.get("plugin"), row.get("plugin_version"), (row.get("source_hash") or "")[:12]]))
