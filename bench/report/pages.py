"""Pages of forecasts and of anomaly scores: an overview led by the leader, and for each model its three series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.board.numbers import clean
from bench.report.assets import copy_assets
from bench.report.chart import Chart, figure_html
from bench.report.figures import anomaly_chart, forecast_chart, horizon_chart
from bench.report.html import Html, joined, slug, tag
from bench.report.page import Link, Page, links, section, write_page

Figure = Mapping[str, Any]
"""One item of `figures.json`: `task_id`, `dataset`, and what `forecast_figures.collect` or `anomaly_figures.collect` gave."""
To = Callable[[Figure, str], str]
"""Where the page of a model on a figure's board lies."""
NAMES = {"forecast": ("forecasts", "Forecasts"), "anomaly": ("anomalies", "Anomaly scores")}
"""Kind of a figure -> the name of its pages and their title."""


def write_plots(folder: Path, figures: Sequence[Figure], title: str = "") -> Path:
    """Write `folder/report/forecasts.html` (or `anomalies.html`), a page for each model, and the assets; return the first.

    Raises ValueError where there is nothing to draw.
    """
    drawn = [figure for figure in figures if figure.get("kind") in NAMES]
    if not drawn:
        raise ValueError("no figure of forecasts or anomaly scores; give what their collect functions return")
    report = Path(folder) / "report"
    copy_assets(report)
    for page in plot_pages(drawn, title):
        write_page(report, page)
    return report / overview_file(drawn[0])


def overview_file(figure: Figure) -> str:
    """Name the overview that shows a figure."""
    return f"{NAMES[figure['kind']][0]}.html"


def model_file(figure: Figure, model: str) -> str:
    """Name the page of one model's series on one board."""
    return f"{NAMES[figure['kind']][0]}-{slug(figure['dataset'], model, beside=figure['task_id'])}.html"


def model_charts(figure: Figure, model: str) -> list[Chart]:
    """Make the charts of one model's series."""
    draw = forecast_chart if figure["kind"] == "forecast" else anomaly_chart
    return [draw(figure, model, at) for at in range(len(figure["models"].get(model, ())))]


def ordered(figure: Figure) -> list[str]:
    """List the models that a figure shows, the leader first."""
    return sorted(figure["models"], key=lambda model: (model != figure["leader"], model))


def plot_pages(figures: Sequence[Figure], title: str, trail: Sequence[Link] = (), to: To | None = None) -> list[Page]:
    """Make the overview of each kind, and, unless `to` leads to other pages, a page for each board and model."""
    pages = []
    for kind in dict.fromkeys(figure["kind"] for figure in figures):
        own = [figure for figure in figures if figure["kind"] == kind]
        pages += [_overview(own, title, trail, to or model_file)]
        pages += [_model_page(figure, model, trail) for figure in own for model in ordered(figure) if to is None]
    return pages


def _overview(figures: Sequence[Figure], title: str, trail: Sequence[Link], to: To) -> Page:
    charts: list[Chart] = []
    parts: list[Html] = []
    for at, figure in enumerate(figures):
        found = _keyed(_leading(figure), f"{at}-", figure["dataset"] if len(figures) > 1 else "")
        charts += found
        parts.append(_board(figure, found, at, to))
    jump = links([(figure["dataset"], f"#board-{at}") for at, figure in enumerate(figures)], "Data sets") if len(figures) > 1 else None
    name = NAMES[figures[0]["kind"]][1]
    what = "best, median and worst series of each leading model, chosen by their scores, never by hand"
    words = f"{len(figures)} data {'set' if len(figures) == 1 else 'sets'}; {what}."
    return Page(overview_file(figures[0]), f"{name}: {title}" if title else name, words, joined(jump, parts), trail, charts=charts)


def _leading(figure: Figure) -> list[Chart]:
    models = ordered(figure)
    first = model_charts(figure, models[0]) if models else []
    wide = horizon_chart(figure) if figure["kind"] == "forecast" else None
    return [*first, *([wide] if wide is not None else [])]


def _board(figure: Figure, charts: Sequence[Chart], at: int, to: To) -> Html:
    models = ordered(figure)
    led = f"{models[0]} ({'the leader' if models[0] == figure['leader'] else 'first by name'})" if models else "no model has predictions"
    others = links([(model, to(figure, model)) for model in models], f"Models on {figure['dataset']}")
    return section(
        figure["dataset"],
        tag("p", clean(figure["task_id"]), class_="task-id"),
        tag("p", "Shown: ", tag("strong", clean(led)), ". All models:"),
        others,
        (figure_html(chart) for chart in charts),
        key=f"board-{at}",
    )


def _model_page(figure: Figure, model: str, trail: Sequence[Link]) -> Page:
    charts = model_charts(figure, model)
    name = NAMES[figure["kind"]][1]
    pairs = [(other, "" if other == model else model_file(figure, other)) for other in ordered(figure)]
    body = joined(links(pairs, "Models"), (figure_html(chart) for chart in charts))
    scores = [pick.get("score", pick.get("judged")) for pick in figure["models"][model]]
    leads = "The leader on this data set" if model == figure["leader"] else f"The leader here is {clean(figure['leader'])}"
    words = f"{leads}; {len(scores)} of {figure['series_total']:,} series, chosen by {figure['metric']}."
    return Page(
        model_file(figure, model),
        f"{model} on {figure['dataset']}",
        words,
        body,
        [*trail, (name, overview_file(figure))],
        [figure["task_id"]],
        charts,
    )


def _keyed(charts: Sequence[Chart], front: str, dataset: str) -> list[Chart]:
    """Make keys and titles unique on a page that shows several boards."""
    from dataclasses import replace

    after = f" ({clean(dataset)})" if dataset else ""
    return [replace(chart, key=f"{front}{chart.key}", title=f"{chart.title}{after}") for chart in charts]
