"""The map of users and the weights by age: what is drawn is what was counted, and who could not be asked has a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from report.kit import churn

from bench.report.churn_page import churn_model_charts
from bench.report.insight_charts import ages_chart, band_edges, insight_charts, insight_gap, map_chart
from bench.report.pages import words_of

CELLS = [
    {"x": float(at), "y": 0.0, "n": 10 * (at + 1), "rate": rate, "score": score}
    for at, (rate, score) in enumerate([(0.1, 0.2), (0.3, 0.25), (0.6, 0.5), (0.9, 0.8)])
]
AGES = [
    {"from": 0, "to": 7, "users": 90, "share": 0.5, "low": 0.45, "high": 0.55, "even": 0.2},
    {"from": 7, "to": None, "users": 80, "share": 0.5, "low": 0.4, "high": 0.6, "even": 0.8},
]
FOUND = {"key": "k", "reason": "", "of": 1, "users": 103}
MAP = {"users": 103, "numbers": 8, "shares": [0.7, 0.2], "cells": CELLS}


def figure(**found: Any) -> dict[str, Any]:
    return {**churn(), "insights": {"lstm": {**FOUND, **found}}}


def test_each_cell_is_drawn_once_by_outcome_and_once_by_prediction_in_bands_of_their_own_shape() -> None:
    chart = map_chart({**FOUND, "map": MAP}, "vae")
    assert [sum(len(t["x"]) for t in chart.traces if t["xaxis"] == axis) for axis in ("x", "x2")] == [4, 4]
    above = [t for t in chart.traces if t["xaxis"] == "x"]
    assert len({t["marker"]["symbol"] for t in above}) == len({t["marker"]["color"] for t in above}) == len(above) > 1
    assert {t["name"] for t in above} == {t["name"] for t in chart.traces}, "one legend is enough"
    assert "3 users in cells of fewer than five" in chart.note
    assert "90% of the variance of its 8 numbers" in chart.finding
    assert chart.rows[0] == ("0", "0", "10", "10%", "20%")


def test_bands_hold_about_as_many_users_each_and_one_cell_has_none() -> None:
    assert band_edges(CELLS) == [0.3, 0.6, 0.9]
    assert band_edges(CELLS[:1]) == band_edges([]) == []
    assert len(map_chart({**FOUND, "map": {**MAP, "cells": CELLS[:1]}}, "vae").traces) == 2


def test_weights_stand_beside_equal_ones_and_the_finding_names_what_is_surely_preferred() -> None:
    chart = ages_chart({**FOUND, "ages": AGES}, "self-attention")
    assert chart.traces[0]["y"] == [0.5, 0.5]
    assert chart.traces[1]["y"] == [0.2, 0.8]
    assert chart.finding.startswith("Events under 7 days old hold 50% of the weight (45% to 55%); with equal weights it would be 20%.")
    unsure = [{**AGES[0], "low": 0.1}, AGES[1]]
    assert "no age is clearly preferred" in ages_chart({**FOUND, "ages": unsure}, "m").finding


def test_a_models_page_has_what_it_shows_and_that_of_a_mean_says_which_is_shown() -> None:
    shown = figure(map=MAP, ages=AGES, of=3)
    assert [chart.key for chart in churn_model_charts(shown, "lstm")][-2:] == ["map", "ages"]
    assert all("mean of 3 configurations, of which the first is shown" in chart.note for chart in insight_charts(shown, "lstm"))
    assert insight_charts(shown, "rfm-logit") == []


@pytest.mark.parametrize("reason", ["ValueError: <b>no</b>", "all users are alike to it"])
def test_who_could_not_be_asked_has_a_sentence_and_no_chart(reason: str) -> None:
    failed = figure(reason=reason)
    assert insight_charts(failed, "lstm") == []
    assert insight_gap(failed, "lstm") in words_of(failed, "lstm")
    assert reason in insight_gap(failed, "lstm")
    assert insight_gap(churn(), "lstm") == insight_gap(failed, "rfm-logit") == ""
