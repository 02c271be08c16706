"""What a forecaster gives: refused with one reason where it breaks the contract, else tidied, and what was done is told."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tasks.forecast_kit import TASK, forecast_of, log, noise, scores, series, split

from bench.metrics import forecasting as metrics
from bench.tasks.base import ModelResult, Split, validation_scores
from bench.tasks.forecasting.task import DECILES, TAILS


@pytest.fixture(scope="module")
def nine() -> Split:
    return split(series(noise(9, 100)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quantiles": np.zeros((9, 14))}, r"predict returned quantiles of shape \[9, 14\], expected \[9, 14, 9\]"),
        ({"quantiles": np.zeros((8, 14, 9))}, r"shape \[8, 14, 9\], expected \[9, 14, 9\]"),
        ({"quantiles": np.zeros((9, 14, 11))}, r"shape \[9, 14, 11\]"),
        ({"quantiles": np.zeros((9, 13, 9))}, r"shape \[9, 13, 9\]"),
        ({"quantiles": np.zeros(())}, r"shape \[\]"),
        ({"quantiles": np.zeros((9, 14, 9), int)}, "quantiles of int64, expected floats"),
        ({"quantiles": np.zeros((9, 14, 9), complex)}, "quantiles of complex128, expected floats"),
        ({"quantiles": np.full((9, 14, 9), np.nan)}, "1134 values of quantiles that are not finite, of 1134"),
        ({"quantiles": np.where(np.arange(9) == 3, np.inf, np.zeros((9, 14, 9)))}, "126 values of quantiles that are not finite"),
        ({"mean": np.zeros((14, 9))}, r"mean of shape \[14, 9\], expected \[9, 14\]"),
        ({"mean": np.full((9, 14), np.nan)}, "126 values of mean that are not finite, of 126"),
        ({"mean": np.zeros((9, 14), int)}, "mean of int64, expected floats"),
        ({"fallback": np.zeros(9)}, "fallback of float64, expected booleans"),
        ({"fallback": np.zeros(3, bool)}, r"fallback of shape \[3\], expected \[9\]"),
        ({"median": np.zeros((9, 14))}, r"predict returned .*median.*, expected bench.Forecast\(quantiles \[N, H, Q\]"),
    ],
)
def test_a_forecast_that_breaks_the_contract_is_invalid_with_one_reason(nine: Split, change: dict, reason: str) -> None:
    (good, _) = forecast_of(nine)
    assert TASK.invalid(nine, "final", 0, good) == ""
    said = TASK.invalid(nine, "final", 0, good | change)
    assert re.search(reason, said), said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("names", [(), ("prediction",), ("mean", "fallback"), ("quantiles",), ("quantiles", "mean")])
def test_a_forecast_without_what_is_needed_is_invalid(nine: Split, names: tuple[str, ...]) -> None:
    (good, _) = forecast_of(nine)
    arrays = {name: good.get(name, np.zeros(9)) for name in names}
    assert "expected bench.Forecast(quantiles [N, H, Q]" in TASK.invalid(nine, "final", 0, arrays)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_floats_of_any_width_are_valid_and_the_mean_may_be_left_out(nine: Split, kind: str) -> None:
    (good, _) = forecast_of(nine)
    arrays = {"quantiles": good["quantiles"].astype(kind), "fallback": good["fallback"]}
    assert TASK.invalid(nine, "final", 0, arrays) == ""
    done = TASK.finished(nine, "final", [arrays, arrays], causal=True)
    assert all(array.dtype == np.float64 for part in done.prediction for array in part.values())


def test_a_whole_forecast_is_kept_as_it_is(nine: Split) -> None:
    prediction = forecast_of(nine)
    done = TASK.finished(nine, "final", prediction, causal=True)
    assert (done.flags, done.note) == ((), "")
    assert done.about == {"crossed": 0.0, "clipped": 0.0, "fallback": 0}
    for stored, given_ in zip(done.prediction, prediction, strict=True):
        assert set(stored) == {"quantiles", "mean"}
        assert all((stored[name] == given_[name]).all() for name in stored)


def test_crossed_quantiles_are_sorted_and_the_share_is_told(nine: Split) -> None:
    one, other = forecast_of(nine)
    crossed = one["quantiles"].copy()
    crossed[:3] = crossed[:3, :, ::-1]
    done = TASK.finished(nine, "final", [{**one, "quantiles": crossed}, other], causal=True)
    assert done.flags == ("quantiles-crossed",)
    assert done.about["crossed"] == pytest.approx(1 / 6)
    assert (done.prediction[0]["quantiles"] == one["quantiles"]).all()


def test_a_missing_mean_is_integrated_from_the_quantiles_as_they_are_stored(nine: Split) -> None:
    prediction = [{k: v for k, v in part.items() if k != "mean"} for part in forecast_of(nine)]
    prediction[1]["quantiles"] = prediction[1]["quantiles"] - 15.0
    done = TASK.finished(nine, "final", prediction, causal=True)
    assert done.flags == ("clipped", "mean-from-quantiles")
    for part in done.prediction:
        assert part["quantiles"].min() >= 0
        assert part["mean"] == pytest.approx(metrics.mean_from_quantiles(part["quantiles"], DECILES))


def test_negative_forecasts_of_counts_are_clipped_and_those_of_other_values_are_not() -> None:
    days = np.repeat(np.arange(100), 10)
    counted, free = split(log(days % 9, days, np.tile(np.arange(10), 100))), split(series(noise(10, 100) - 30))
    for found, flags, least in ((counted, ("clipped",), 0.0), (free, (), -4.0)):
        low = forecast_of(found)
        low[0]["quantiles"][:, :7, 0] = -4.0
        low[1]["mean"][:5] = -4.0
        done = TASK.finished(found, "final", low, causal=True)
        assert done.flags == flags
        assert min(float(p[name].min()) for p in done.prediction for name in ("quantiles", "mean")) == least
        assert done.about["clipped"] == (0.5 if flags else 0.0)


def test_series_served_by_a_simpler_method_are_flagged_and_counted(nine: Split) -> None:
    one, other = forecast_of(nine)
    done = TASK.finished(nine, "final", [one, {**other, "fallback": np.arange(9) < 2}], causal=True)
    assert (done.flags, done.note, done.about["fallback"]) == (("fallback",), "2 of 9 series by a simpler method", 2)


def test_validation_steers_by_mase_and_at_level_user_by_wql() -> None:
    days = np.repeat(np.arange(120), 9)
    events = log(np.tile(np.arange(9), 120), days, np.tile(np.arange(9), 120)[::-1])
    for level, metric, q, reference in (("item", "mase", 9, "seasonal-naive"), ("user", "wql", 11, "climatology")):
        rng = np.random.default_rng(3)
        keep = rng.random(len(days)) < 0.5
        found = split(log(np.tile(np.arange(9), 120)[keep], days[keep], np.tile(np.arange(9), 120)[keep]), level=level)
        assert (found.ranking.metric, found.ranking.higher, found.ranking.reference) == (metric, False, reference)
        assert found.context["quantiles"] == (DECILES if q == 9 else (*DECILES, *TAILS))
        prediction = forecast_of(found, "search")
        y, (part,) = found.truths["search"].y[0], prediction
        if level == "item":
            wanted = metrics.mase(y, part["quantiles"][:, :, 4], found.truths["search"].scales)
        else:
            wanted = metrics.wql(y, part["quantiles"], found.context["quantiles"])
        assert validation_scores(TASK.objectives(found, "search", prediction)) == {"tuned": pytest.approx(wanted)}
    assert len(events) == 1080


def test_details_tell_each_step_and_each_series(nine: Split) -> None:
    prediction = forecast_of(nine)
    rows = TASK.details(nine, [ModelResult("m", "tuned", None, {}, prediction)])
    by_step = [row for row in rows if row["by"] == "step"]
    by_series = [row for row in rows if row["by"] == "series"]
    assert [row["at"] for row in by_step] == [str(h) for h in range(1, 15)]
    assert [row["at"] for row in by_series] == [f"s{k:02d}" for k in range(9)]
    for own in (by_step, by_series):
        assert np.mean([row["mase"] for row in own]) == pytest.approx(scores(nine, prediction)["mase"])
