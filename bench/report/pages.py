"""Pages of forecasts, of anomaly scores and of churn: an overview led by the leader, and for each model its own charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.board.numbers import clean
from bench.report.assets import copy_assets
from bench.report.calendar_chart import calendar_chart
from bench.report.chart import Chart, figure_html
from bench.report.churn_charts import ordered_churn
from bench.report.churn_page import churn_model_charts, overview_parts, paired
from bench.report.classes_chart import anomaly_classes
from bench.report.compared_chart import compared_chart, compared_data, compared_form, spread_chart
from bench.report.figures import anomaly_chart, forecast_chart, horizon_chart
from bench.report.glossary_page import glossary_page
from bench.report.html import Html, joined, slug, tag
from bench.report.insight_charts import insight_gap
from bench.report.occlusion_charts import occlusion_gap
from bench.report.page import Link, Page, links, section, write_page
from bench.report.profit_chart import profit_data
from bench.report.protocol_words import protocol_html

Figure = Mapping[str, Any]
"""One item of `figures.json`: `task_id`, `dataset`, and what the `collect` of the figures' module gave."""
To = Callable[[Figure, str], str]
"""Where the page of a model on a figure's board lies."""


@dataclass(frozen=True)
class PageNames:
    """Describe how pages of one kind of figure are called."""

    front: str
    """The beginning of their files' names."""
    title: str
    way: str
    """What leads there from the first page."""
    link: str
    """What leads there from a board's page."""
    own: str
    """What a model's own charts are called."""


SERIES = "Best, median and worst series of each model"
NAMES = {
    "forecast": PageNames("forecasts", "Forecasts", "Forecasts, series by series", SERIES, "Series"),
    "anomaly": PageNames("anomalies", "Anomaly scores", "Anomaly scores, series by series", SERIES, "Series"),
    "churn": PageNames("churn", "Churn curves", "Churn: curves and calibration", "Gain, curves and calibration of all models", "Curves"),
}
"""Kind of a figure -> its names."""


def write_plots(folder: Path, figures: Sequence[Figure], title: str = "") -> Path:
    """Write `folder/report/forecasts.html` (or another kind's), a page for each model, and the assets; return the first.

    Raises ValueError where there is nothing to draw.
    """
    drawn = [figure for figure in figures if figure.get("kind") in NAMES]
    if not drawn:
        raise ValueError("no figure of forecasts, anomaly scores or churn; give what their collect functions return")
    report = Path(folder) / "report"
    copy_assets(report)
    for page in (*plot_pages(drawn, title), glossary_page([], [])):
        write_page(report, page)
    return report / overview_files(drawn)[at_board(drawn[0])]


def at_board(figure: Figure) -> tuple[str, str]:
    """State of which (task id, data set) a figure is."""
    return figure["task_id"], figure["dataset"]


def overview_files(figures: Sequence[Figure]) -> dict[tuple[str, str], str]:
    """Name the page that shows each board's leader: the first of a kind has the plain name."""
    found: dict[tuple[str, str], str] = {}
    for figure in figures:
        front = NAMES[figure["kind"]].front
        plain = f"{front}.html"
        found[at_board(figure)] = (
            plain if plain not in found.values() else f"{front}-{slug(figure['dataset'], beside=figure['task_id'])}.html"
        )
    return found


def model_file(figure: Figure, model: str) -> str:
    """Name the page of one model's charts on one board."""
    return f"{NAMES[figure['kind']].front}-{slug(figure['dataset'], model, beside=figure['task_id'])}.html"


def model_charts(figure: Figure, model: str) -> list[Chart]:
    """Make the charts of one model: its series, or its curves."""
    if figure["kind"] == "churn":
        return churn_model_charts(figure, model)
    draw = forecast_chart if figure["kind"] == "forecast" else anomaly_chart
    series = [draw(figure, model, at) for at in range(len(figure["models"].get(model, ())))]
    if figure["kind"] == "forecast":
        beside = {m: v for m, v in figure.get("by_step", {}).items() if m in {model, figure["leader"]}}
        more = [horizon_chart({**figure, "by_step": beside}) if model in beside else None]
    else:
        more = [anomaly_classes(figure, model), calendar_chart(figure, model)]
    return [*series, *(chart for chart in more if chart is not None)]


def ordered(figure: Figure) -> list[str]:
    """List the models that a figure shows, the leader first."""
    if figure["kind"] == "churn":
        return ordered_churn(figure)
    return sorted(figure["models"], key=lambda model: (model != figure["leader"], model))


def plot_pages(figures: Sequence[Figure], title: str, trail: Sequence[Link] = (), to: To | None = None) -> list[Page]:
    """Make an overview of each board, and, unless `to` leads to other pages, a page for each of its models.

    A figure's `title`, where it has one, names the board better than its data set; `ranked` false: its leader is only
    the first by score.
    """
    files = overview_files(figures)
    pages = []
    for figure in figures:
        same = [other for other in figures if other["kind"] == figure["kind"]]
        boards = [(_title(other), "" if other is figure else files[at_board(other)]) for other in same]
        pages.append(_overview(figure, files[at_board(figure)], title, boards, trail, to or model_file))
        pages += [_model_page(figure, model, files, trail) for model in ordered(figure) if to is None]
    return pages


def _title(figure: Figure) -> str:
    return str(figure.get("title") or figure["dataset"])


def _overview(figure: Figure, file: str, title: str, boards: Sequence[Link], trail: Sequence[Link], to: To) -> Page:
    models, own = ordered(figure), NAMES[figure["kind"]].own
    pairs = [(model, to(figure, model)) for model in models]
    parts = overview_parts(figure) if figure["kind"] == "churn" else []
    charts = [chart for part in parts for chart in part.charts] or _leading(figure)
    pair = list((figure.get("compared") or {"models": ()})["models"])[:2]
    if len(pair) == 2:
        charts = [*charts, compared_chart(figure, pair)]
    body = joined(
        protocol_html(figure["task_id"]),
        section("Data sets", links(boards, "Data sets")) if len(boards) > 1 else None,
        section("Models", tag("p", f"Each leads to its own {own.lower()}."), links(pairs, "Models")),
        [part.html() for part in parts] or section(own, (figure_html(chart) for chart in charts if chart.key != "compared")),
        section("Two models on one series", compared_form(figure, pair), figure_html(charts[-1])) if len(pair) == 2 else None,
    )
    name = f"{NAMES[figure['kind']].title}: {_title(figure)}"
    words = f"{_led(figure, models[0])}; {_figure_words(figure)}." if models else "No model has predictions."
    more = {"profit": profit_data(figure, models)} if parts else {"compared": compared_data(figure)} if len(pair) == 2 else {}
    return Page(file, name, words, body, trail, [title] if title else [], charts, more=more)


def _figure_words(figure: Figure) -> str:
    if figure["kind"] != "churn":
        drawn = any(figure["models"].values())
        return "the best, the median and the worst series by its own scores" if drawn else "its series are not published with this run"
    return f"{figure['n'][figure['test_cutoff']]:,} test users, of whom {figure['base_rate']:.0%} churned"


def _led(figure: Figure, first: str) -> str:
    if first != figure["leader"]:
        return f"Shown: {clean(first)}, the first by name"
    return f"{clean(first)} leads" if figure.get("ranked", True) else f"Shown: {clean(first)}, first by score; nothing is ranked"


def _leading(figure: Figure) -> list[Chart]:
    models = ordered(figure)
    first = model_charts(figure, models[0]) if models else []
    if figure["kind"] != "forecast":
        return first
    wide = [chart for chart in (horizon_chart(figure), spread_chart(figure)) if chart is not None]
    return [*(chart for chart in first if chart.key != "horizon"), *wide]


def charts_html(figure: Figure, charts: Sequence[Chart]) -> Html:
    """Write the charts of one model: timelines need the whole width, curves stand in pairs."""
    return paired(list(charts)) if figure["kind"] == "churn" else joined(figure_html(chart) for chart in charts)


def words_of(figure: Figure, model: str) -> str:
    """Describe what cannot be drawn of a model that should be: what it looks at or shows; empty where there is nothing to say."""
    if figure["kind"] != "churn":
        return ""
    wanted = model in {figure["leader"], *figure.get("looks_at", {})}
    return " ".join(filter(None, [occlusion_gap(figure, model) if wanted else "", insight_gap(figure, model)]))


def _chosen(figure: Figure, count: int) -> str:
    return f"{count} of {figure['series_total']:,} series, chosen by {figure['metric']}"


def _model_page(figure: Figure, model: str, files: Mapping[tuple[str, str], str], trail: Sequence[Link]) -> Page:
    charts = model_charts(figure, model)
    pairs = [(other, "" if other == model else model_file(figure, other)) for other in ordered(figure)]
    said = words_of(figure, model)
    body = joined(links(pairs, "Models"), charts_html(figure, charts), tag("p", said) if said else None)
    leads = _led(figure, model) if model == figure["leader"] else f"The leader here is {clean(figure['leader'] or 'unknown')}"
    words = f"{leads}; {_figure_words(figure) if figure['kind'] == 'churn' else _chosen(figure, len(charts))}."
    above = (f"{NAMES[figure['kind']].title}: {_title(figure)}", files[at_board(figure)])
    return Page(model_file(figure, model), f"{model} on {_title(figure)}", words, body, [*trail, above], [figure["task_id"]], charts)
