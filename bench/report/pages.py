"""Pages of forecasts and of anomaly scores: an overview led by the leader, and for each model its three series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.board.numbers import clean
from bench.report.assets import copy_assets
from bench.report.chart import Chart, figure_html
from bench.report.figures import anomaly_chart, forecast_chart, horizon_chart
from bench.report.html import joined, slug, tag
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
    return report / overview_files(drawn)[at_board(drawn[0])]


def at_board(figure: Figure) -> tuple[str, str]:
    """Say of which (task id, data set) a figure is."""
    return figure["task_id"], figure["dataset"]


def overview_files(figures: Sequence[Figure]) -> dict[tuple[str, str], str]:
    """Name the page that shows each board's leader: the first of a kind has the plain name."""
    found: dict[tuple[str, str], str] = {}
    for figure in figures:
        front = NAMES[figure["kind"]][0]
        plain = f"{front}.html"
        found[at_board(figure)] = (
            plain if plain not in found.values() else f"{front}-{slug(figure['dataset'], beside=figure['task_id'])}.html"
        )
    return found


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
    charts, models = _leading(figure), ordered(figure)
    pairs = [(model, to(figure, model)) for model in models]
    body = joined(
        section("Data sets", links(boards, "Data sets")) if len(boards) > 1 else None,
        section("Models", tag("p", "Each leads to its own series."), links(pairs, "Models")),
        section("Series", (figure_html(chart) for chart in charts)),
    )
    name = f"{NAMES[figure['kind']][1]}: {_title(figure)}"
    words = (
        f"{_led(figure, models[0])}; the best, the median and the worst series by its own scores."
        if models
        else "No model has predictions."
    )
    return Page(file, name, words, body, trail, [*([title] if title else []), figure["task_id"]], charts)


def _led(figure: Figure, first: str) -> str:
    if first != figure["leader"]:
        return f"Shown: {clean(first)}, the first by name"
    return f"{clean(first)} leads" if figure.get("ranked", True) else f"Shown: {clean(first)}, first by score; nothing is ranked"


def _leading(figure: Figure) -> list[Chart]:
    models = ordered(figure)
    first = model_charts(figure, models[0]) if models else []
    wide = horizon_chart(figure) if figure["kind"] == "forecast" else None
    return [*first, *([wide] if wide is not None else [])]


def _model_page(figure: Figure, model: str, files: Mapping[tuple[str, str], str], trail: Sequence[Link]) -> Page:
    charts = model_charts(figure, model)
    pairs = [(other, "" if other == model else model_file(figure, other)) for other in ordered(figure)]
    body = joined(links(pairs, "Models"), (figure_html(chart) for chart in charts))
    leads = _led(figure, model) if model == figure["leader"] else f"The leader here is {clean(figure['leader'] or 'unknown')}"
    words = f"{leads}; {len(charts)} of {figure['series_total']:,} series, chosen by {figure['metric']}."
    above = (f"{NAMES[figure['kind']][1]}: {_title(figure)}", files[at_board(figure)])
    return Page(model_file(figure, model), f"{model} on {_title(figure)}", words, body, [*trail, above], [figure["task_id"]], charts)
