"""What the pages of churn are made of: parts with their words and charts, for the overview and for one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.report.calibration_charts import rates_chart, reliability_chart
from bench.report.chart import Chart, figure_html
from bench.report.churn_charts import beside, curves_chart, gain_chart, ordered_churn
from bench.report.classes_chart import churn_classes
from bench.report.html import Html, tag
from bench.report.insight_charts import insight_charts
from bench.report.occlusion_charts import occlusion_chart, occlusion_gap
from bench.report.page import section
from bench.report.profit_chart import profit_chart, profit_form

Data = Mapping[str, Any]


@dataclass(frozen=True)
class PagePart:
    """One part of a page: a heading, words, and charts that stand in pairs where there is room."""

    title: str
    charts: list[Chart]
    words: list[str] = field(default_factory=list)
    form: Html | None = None
    """Fields that the charts follow."""

    def html(self) -> Html:
        """Write the part."""
        said = (tag("p", words) for words in self.words)
        return section(self.title, said, self.form, paired(self.charts) if self.charts else None)


def paired(charts: list[Chart]) -> Html:
    """Write charts, two beside each other where there is room."""
    return tag("div", (figure_html(chart) for chart in charts), class_="pair")


def overview_parts(figure: Data) -> list[PagePart]:
    """Make the parts of a board's churn page: the first models in colour, all others grey."""
    models = ordered_churn(figure)
    if not models:
        return []
    two = [m for at, m in enumerate(models[:2]) if at == 0 or m == figure["reference"]]
    calibrated = [reliability_chart(figure, m, f"reliability-{at}") for at, m in enumerate(two)]
    return [
        PagePart("Whom to choose", [gain_chart(figure, models), curves_chart(figure, models)]),
        PagePart("What does it earn?", [profit_chart(figure, models)], form=profit_form()),
        PagePart("Is it calibrated?", [*calibrated, rates_chart(figure, two)]),
        PagePart("How do the scores part the classes?", _classes(figure, two)),
        occlusion_part(figure, two),
    ]


def _classes(figure: Data, models: Sequence[str]) -> list[Chart]:
    found = (churn_classes(figure, m, f"classes-{at}") for at, m in enumerate(models))
    return [chart for chart in found if chart is not None]


def occlusion_part(figure: Data, models: Sequence[str]) -> PagePart:
    """Make the part on what models look at; one that could not be asked has a sentence."""
    drawn = [occlusion_chart(figure, m, f"looks-{at}") for at, m in enumerate(models)]
    words = [said for m in models if (said := occlusion_gap(figure, m))]
    return PagePart("What it looks at", [chart for chart in drawn if chart is not None], words)


def churn_model_charts(figure: Data, model: str) -> list[Chart]:
    """Make the charts of one model's own page: itself beside leader and reference."""
    if model not in figure["models"]:
        return []
    models = beside(figure, model)
    asked = occlusion_chart(figure, model) if model in figure.get("looks_at", {}) else None
    return [
        reliability_chart(figure, model),
        gain_chart(figure, models),
        curves_chart(figure, models),
        *(chart for chart in (churn_classes(figure, model), asked) if chart is not None),
        *insight_charts(figure, model),
    ]
