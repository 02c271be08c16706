"""No model sees what comes after its cut-off; and the truth is scored as the definitions say, window by window."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tasks.forecast_kit import START, TASK, forecast_of, log, noise, scores, series, split

from bench.board.ranking import ranking_metric
from bench.data.payload import Payload
from bench.metrics import forecasting as metrics
from bench.tasks.base import OLDER, RESEEDED, Split
from bench.tasks.forecasting.task import DECILES


def payloads(found: Split) -> dict[tuple[str, int], Payload]:
    return {(stage, part): pickled for stage, own in found.stages.items() for part, pickled in enumerate(own.payloads)}


def random_log(seed: int, target: str) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    day = np.r_[0, np.sort(rng.integers(0, 100, 1500)), 99]
    item = np.minimum(rng.gamma(1.0, 8.0, len(day)).astype(int), 40)
    return rng.integers(0, 30, len(day)), day, item, rng.gamma(2, 5, len(day)) if target == "sum" else np.ones(len(day))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), target=st.sampled_from(["count", "sum"]), level=st.sampled_from(["item", "user", "total"]))
def test_no_event_after_a_cut_off_reaches_a_model_before_that_window_is_over(seed: int, target: str, level: str) -> None:
    user, day, item, value = random_log(seed, target)
    options = {"level": level, "target": target}
    before = split(log(user, day, item, value), **options)
    assert [p.steps for p in before.stages["final"].parts] == [72, 86]
    known = {("search", 0), ("final", 0), (OLDER, 0), (RESEEDED, 0)}
    for cutoff, same in ((72, known), (86, known | {("final", 1)})):
        rng = np.random.default_rng(seed + 1)
        late = day >= cutoff
        # other users, other and new items, negative amounts, fewer and more events; the log's end stays
        kept = ~late | (rng.random(len(day)) < 0.3) | (np.arange(len(day)) == len(day) - 1)
        item2, user2 = np.where(late, 39 - item, item), np.where(late, user + 5, user)
        value2 = np.where(late, -3 * value, value)
        more = np.flatnonzero(late)[:200]
        index = np.r_[np.flatnonzero(kept), more, more]
        after = split(log(user2[index], day[index], item2[index], value2[index]), **options)
        assert after.task_id == before.task_id
        one, other = payloads(before), payloads(after)
        assert {key for key in one if one[key] == other[key]} == same
        assert not np.array_equal(before.truths["final"].y, after.truths["final"].y, equal_nan=True), "the change is one"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), which=st.integers(0, 8), cutoff=st.sampled_from([58, 72, 86]))
def test_the_future_of_one_series_reaches_neither_it_nor_any_other(seed: int, which: int, cutoff: int) -> None:
    values = noise(9, 100, seed)
    other = values.copy()
    other[which, cutoff:] = -1e6
    other[which, cutoff + 3] = np.nan
    one, two = payloads(split(series(values))), payloads(split(series(other)))
    steps = {(OLDER, 0): 44, ("search", 0): 58, (RESEEDED, 0): 58, ("final", 0): 72, ("final", 1): 86}
    assert {key: one[key] == two[key] for key in one} == {key: steps[key] <= cutoff for key in one}


def test_a_change_of_the_past_reaches_the_model() -> None:
    values = noise(9, 100)
    other = values.copy()
    other[4, 57] += 1
    one, two = payloads(split(series(values))), payloads(split(series(other)))
    assert {key for key in one if one[key] == two[key]} == {(OLDER, 0)}, "which ends before it"


def test_members_are_chosen_by_what_they_did_before_the_first_test_cut_off() -> None:
    base_day, base_item = np.repeat(np.arange(100), 25), np.tile(np.arange(25), 100)
    # item 30 booms once testing has begun; item 24 fades a day earlier than the others
    day = np.r_[base_day[(base_item != 24) | (base_day < 71)], np.repeat(np.arange(72, 100), 50)]
    item = np.r_[base_item[(base_item != 24) | (base_day < 71)], np.full(28 * 50, 30)]
    names = split(log(day % 9, day, item)).truths["final"].grid.names
    assert len(names) == 20
    assert not {"i30", "i24"} & set(names)


def test_negative_values_that_come_later_do_not_tell_that_values_can_be_negative() -> None:
    values = noise(9, 100)
    values[0, 75] = -1.0
    found = split(series(values))
    assert [p.counts for p in found.stages["final"].parts] == [True, False]
    below = forecast_of(found, quantiles=np.full((9, 14, 9), -2.0), mean=np.full((9, 14), -2.0))
    done = TASK.finished(found, "final", below, causal=True)
    assert [float(p["quantiles"].min()) for p in done.prediction] == [0.0, -2.0]


# ---- the truth


def test_the_truth_of_each_window_follows_its_cut_off() -> None:
    values = noise(9, 100)
    found = split(series(values), windows=3)
    for at, panel in enumerate(found.stages["final"].parts):
        assert panel.steps == 100 - 14 * (3 - at)
        assert (panel.values == values[:, : panel.steps]).all()
        assert (found.truths["final"].y[at] == values[:, panel.steps : panel.steps + 14]).all()
        assert panel.time[0, panel.steps] == int((START + timedelta(days=panel.steps)).timestamp() * 1e6)


def test_scales_are_those_of_the_history_before_the_first_cut_off_of_the_stage() -> None:
    values = noise(9, 100)
    found = split(series(values))
    for stage, end in (("search", 58), ("final", 72)):
        past = values[:, :end]
        assert found.truths[stage].scales.absolute == pytest.approx(np.abs(past[:, 7:] - past[:, :-7]).mean(axis=1))


def test_a_missing_step_is_never_scored() -> None:
    values = noise(9, 100)
    values[2, 75:80] = np.nan
    values[3, :80] = np.nan
    found = split(series(values))
    one = forecast_of(found)
    other = [{name: array.copy() for name, array in part.items()} for part in one]
    for array in (other[0]["quantiles"], other[0]["mean"]):
        array[2, 3:8] = 1e6
        array[3, :8] = 1e6
    assert scores(found, one) == scores(found, other)
    other[0]["quantiles"][2, 2] = 1e6
    assert scores(found, one)["mase"] != scores(found, other)["mase"]


def test_series_without_a_scale_are_counted_and_left_out_of_the_scaled_metrics_alone() -> None:
    values = noise(10, 100)
    values[4, :72] = 5.0
    values[7, 72:] = np.nan
    found = split(series(values))
    assert (found.facts["undefined"], found.facts["unscored"]) == (1, 1)
    assert "1 of 10 series do not vary before the test: left out of MASE, RMSSE and SQL, counted elsewhere" in found.notes
    assert "1 of 10 series have no value in the test windows and are not scored" in found.notes
    one = forecast_of(found)
    far = [{**part, "quantiles": part["quantiles"] + 1e3 * (np.arange(10) == 4)[:, None, None]} for part in one]
    assert scores(found, one)["mase"] == scores(found, far)["mase"]
    assert scores(found, one)["wape"] < scores(found, far)["wape"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v[:, :58].fill(3.0), "no series varies before the first validation cut-off: MASE has no scale; nothing to rank"),
        (lambda v: v[:, 58:72].fill(np.nan), "no series has a value in the validation windows"),
        (lambda v: v[:, 72:99].fill(np.nan) or v[:, 99:].fill(np.nan), "no series has a value in the test windows"),
    ],
)
def test_where_nothing_can_be_scored_the_reason_is_given(change, reason: str) -> None:
    values = noise(9, 100)
    change(values)
    marker = np.full((1, 100), np.nan)  # a tenth series that is never observed keeps the grid as long
    data = series(np.r_[values, marker])
    assert split(data).reason == reason


@pytest.mark.parametrize(
    ("n", "options", "pieces"), [(1, {"windows": 2}, 2), (3, {"horizon": 20, "season": 6}, 3), (7, {"horizon": 9}, 1), (9, {}, 1)]
)
def test_scores_are_those_of_whole_windows_however_few_series_there_are(n: int, options: dict, pieces: int) -> None:
    values = noise(n, 150)
    values[0, -5] = np.nan
    found = split(series(values), **options)
    truth, prediction = found.truths["final"], forecast_of(found)
    assert truth.pieces == pieces
    windows, _, horizon = truth.y.shape
    y = truth.y.reshape(windows * n, horizon)
    scale = metrics.Scales(np.tile(truth.scales.absolute, windows), np.tile(truth.scales.squared, windows))
    stacked = {name: np.concatenate([part[name] for part in prediction]) for name in ("quantiles", "mean")}
    parts = metrics.parts(y, np.isfinite(y), stacked["quantiles"], stacked["mean"], DECILES, scale)
    wanted = {name: float(value[0]) for name, value in metrics.score(parts, np.ones((1, len(y)))).items()}
    assert scores(found, prediction) == pytest.approx(wanted, rel=1e-12)


def test_series_are_resampled_and_with_few_of_them_blocks_of_a_season() -> None:
    many = split(series(noise(9, 150)))
    assert many.truths["final"].group.tolist() == [*range(9), *range(9)]
    few = split(series(noise(3, 150)))
    assert sorted(few.truths["final"].group) == list(range(2 * 3 * 2))
    prediction = forecast_of(few)
    drawn = np.random.default_rng(0).multinomial(12, np.ones(12) / 12, 200).astype(float)
    found = TASK.scorer(few, prediction).score(drawn)
    assert all(np.ptp(values) > 0 for values in found.values()), "every metric varies over the resamples"


@pytest.mark.parametrize(("n", "options", "flags"), [(1, {}, ("underpowered",)), (1, {"windows": 8}, ()), (2, {}, ()), (8, {}, ())])
def test_too_few_blocks_to_resample_are_underpowered(n: int, options: dict, flags: tuple[str, ...]) -> None:
    found = split(series(noise(n, 300)), **options)
    assert found.flags == flags
    assert any(note.startswith("underpowered: 4 blocks of steps") for note in found.notes) == bool(flags)


def test_where_most_series_are_mostly_zero_wql_ranks_and_the_task_id_says_so():
    rng = np.random.default_rng(0)
    few, many = (split(series(rng.poisson(rate, (10, 200)).astype(float))) for rate in (0.2, 4.0))
    assert (few.ranking.metric, many.ranking.metric) == ("wql", "mase")
    assert few.task_id == many.task_id + "/rank=wql"
    assert any("WQL ranks" in note for note in few.notes)
    for found in (few, many):
        row = {"task": "forecasting", "task_id": found.task_id, "level": "given"}
        assert ranking_metric(row) == (found.ranking.metric, found.ranking.higher)


def test_what_ranks_is_decided_by_the_past_alone():
    values = np.random.default_rng(0).poisson(4.0, (10, 200)).astype(float)
    values[:, -42:] = 0.0
    values[:, -1] = 1.0
    assert split(series(values)).ranking.metric == "mase"
