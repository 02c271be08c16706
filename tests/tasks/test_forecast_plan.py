"""Horizon, season, windows and cut-offs: defaults, options, and refusals with a cure that works."""

from __future__ import annotations

import re
from datetime import timedelta

import numpy as np
import pytest
from tasks.forecast_kit import TASK, log, noise, series, split

from bench.errors import ConfigError, ProtocolError
from bench.tasks.base import OLDER, RESEEDED
from bench.tasks.forecasting.task import DECILES
from bench.tasks.profiles import PROFILES


def test_defaults_are_daily_items_14_days_ahead_in_two_windows_after_one_for_validation() -> None:
    days = np.repeat(np.arange(100), 3)
    found = split(log(days % 5, days, np.tile([0, 1, 2], 100)))
    assert found.task_id == "forecasting/v2/level=item/target=count/freq=D/season=7/h=14/windows=2/valid=1/rows=all/history=256/epochs=50"
    assert (found.facts["valid_cutoffs"], found.facts["test_cutoffs"]) == (["2024-02-28"], ["2024-03-13", "2024-03-27"])
    assert found.context == {"horizon": 14.0, "loss": "quantile", "quantiles": DECILES}
    assert [p.steps for p in found.stages["search"].parts] == [58]
    assert [p.steps for p in found.stages["final"].parts] == [72, 86]
    assert (found.stages["search"].train.steps, found.stages["final"].train.steps) == (58, 72)


@pytest.mark.parametrize(("steps", "older"), [(200, 3), (112, 2), (111, 1), (98, 1), (97, 0)])
def test_windows_before_the_validations_confirm_a_search_where_there_is_room_for_them(steps: int, older: int) -> None:
    found = split(series(noise(9, steps)), validations=2 if steps < 200 else 3)
    oldest = found.stages["search"].parts[0].steps
    assert found.validations == ("search",), "no search is steered by them"
    assert found.unseen == ((OLDER, RESEEDED) if older else ())
    if older:
        stage, truth = found.stages[OLDER], found.truths[OLDER]
        assert [p.steps for p in stage.parts] == [oldest - 14 * k for k in range(older, 0, -1)]
        assert stage.train.steps == stage.parts[0].steps >= 28, "four seasons, two horizons"
        assert np.array_equal(truth.y[-1], found.stages["search"].train.values[:, -14:])
        again = found.stages[RESEEDED]
        assert again is found.stages["search"]


@pytest.mark.parametrize(("steps", "windows"), [(200, 2), (70, 2), (69, 1), (56, 1)])
def test_windows_are_reduced_until_training_covers_four_seasons_and_two_horizons(steps: int, windows: int) -> None:
    found = split(series(noise(9, steps)))
    assert f"/windows={windows}/" in found.task_id
    assert found.stages["search"].train.steps == steps - 14 * (windows + 1) >= 28
    said = "1 test window instead of 2: before the first cut-off must lie 28 steps (4 seasons, 2 horizons)"
    assert (said in found.notes) == (windows == 1)


@pytest.mark.parametrize("options", [{}, {"horizon": 40}, {"season": 30, "horizon": 3}, {"season": 100}, {"horizon": 60, "season": 20}])
def test_data_too_short_for_one_window_is_refused_and_the_proposed_cure_works(options: dict) -> None:
    short = series(noise(9, 55))
    with pytest.raises(ProtocolError, match=r"given: 55 steps of D are too few for horizon .* steps of training .*; try --set") as refused:
        split(short, **options)
    cure = dict(re.findall(r"--set (\w+)=(\d+)", str(refused.value)))
    assert "0" not in cure.values()
    split(short, **{**options, **cure})


def test_more_windows_than_fit_are_refused_with_how_many_do() -> None:
    with pytest.raises(ProtocolError, match=r"69 steps leave room for 1 test windows of 14, not 2; --set windows=1"):
        split(series(noise(9, 69)), windows=2)
    assert "/windows=4/" in split(series(noise(9, 100)), windows=4).task_id


@pytest.mark.parametrize(
    ("step", "options", "horizon"),
    [
        (timedelta(days=1), {"horizon": "21"}, 21),
        (timedelta(days=1), {"horizon": "2w"}, 14),
        (timedelta(days=1), {"horizon": "48h"}, 2),
        (timedelta(hours=1), {"horizon": "2d"}, 48),
        (timedelta(hours=1), {}, 48),
        (timedelta(days=7), {"season": 4}, 13),
        (timedelta(minutes=15), {"horizon": "1h"}, 4),
    ],
)
def test_a_horizon_is_steps_or_a_duration_that_the_frequency_divides(step: timedelta, options: dict, horizon: int) -> None:
    found = split(series(noise(9, 600), step=step), **options)
    assert f"/h={horizon}/" in found.task_id
    assert found.facts["horizon_days"] == found.columns["horizon_days"] == pytest.approx(horizon * step / timedelta(days=1))
    assert found.stages["final"].train.horizon == horizon


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon": "36h"}, "horizon='36h' is no whole number of steps of D; give steps: horizon=14"),
        ({"horizon": "1d", "freq": "MS"}, "no whole number of steps of MS"),
        ({"horizon": "soon"}, "horizon='soon' is no duration"),
        ({"horizon": "0"}, "horizon='0' is no number of steps"),
        ({"season": "-7"}, "season='-7' is no number of steps"),
        ({"season": "week"}, "season='week' is no number of steps"),
        ({"windows": "0"}, "windows='0' is no number of steps or windows; use 1 or more"),
        ({"windows": "two"}, "windows='two' is no number"),
    ],
)
def test_an_option_that_means_nothing_is_refused(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        split(series(noise(9, 2000)), **options)


def test_a_duration_means_nothing_where_there_is_no_time() -> None:
    with pytest.raises(ConfigError, match="no whole number of steps of series without time"):
        split(series(noise(9, 200), timed=False), horizon="14d")


def test_a_given_test_part_is_the_only_test_window() -> None:
    values = noise(9, 120)
    found = split(series(values, test=10, timed=False), season=6)
    assert found.task_id.startswith("forecasting/v2/level=given/target=count/freq=none/season=6/h=10/windows=given/valid=1/")
    assert (found.truths["final"].y == values[None, :, -10:]).all()
    assert (found.truths["search"].y == values[None, :, -20:-10]).all()
    assert (found.facts["test_cutoffs"], found.columns["horizon_days"]) == (["110"], None)
    for options, words in (({"horizon": 12}, "12 is not that of the given test part, 10"), ({"windows": 2}, "so there is one window")):
        with pytest.raises(ProtocolError, match=words):
            split(series(values, test=10, timed=False), **options)
    assert split(series(values, test=10, timed=False), season=6, windows=1, horizon=10).task_id == found.task_id


def test_a_given_test_part_too_long_for_its_season_is_refused_with_a_season_that_fits() -> None:
    short = series(noise(9, 60), test=10, timed=False)
    with pytest.raises(ProtocolError, match=r"try --set season=10$"):
        split(short, season=24)
    assert "/season=10/" in split(short, season=10).task_id


def test_series_without_times_have_no_season_until_it_is_given_and_a_note_says_so() -> None:
    said = "the series have no times, so no season is known; give it with --set season=24"
    assert said in split(series(noise(9, 200), timed=False)).notes
    assert said not in split(series(noise(9, 200), timed=False), season=24).notes


def test_a_simulated_log_is_capped_by_the_profile_and_the_task_id_says_so() -> None:
    days = np.repeat(np.arange(120), 12)
    events = log(days % 7, days, np.tile(np.arange(12), 120))
    found = split(events, simulated=True, profile=PROFILES["smoke"])
    assert "/h=14/windows=1/valid=1/series=5/rows=" in found.task_id
    assert len(found.stages["final"].train) == 5
    assert len(split(events, profile=PROFILES["smoke"]).stages["final"].train) == 12


def test_every_choice_that_changes_scores_changes_the_task_id() -> None:
    days = np.repeat(np.arange(250), 4)
    events = log(days % 5, days, np.tile(np.arange(4), 250), value=np.ones(1000))
    changes = [
        {}, {"level": "total"}, {"level": "user"}, {"target": "sum"}, {"season": 5}, {"horizon": 7}, {"windows": 3},
        {"freq": "W", "season": 4, "horizon": 4},
    ]  # fmt: skip
    assert len({split(events, **change).task_id for change in changes}) == len(changes)


def late_starters(days: int = 100):
    """Make a log of five items that begin ten days after each other, and of one that begins in the last test window."""
    events = [(item, day) for item in range(5) for day in range(10 * item, days, 1 + item)] + [(9, days - 3), (0, days - 1)]
    item, day = zip(*events, strict=True)
    return log(np.zeros(len(item), int), day, item)


def test_zeros_before_the_first_event_count_only_where_the_task_id_says_so() -> None:
    own, whole = split(late_starters()), split(late_starters(), start="global")
    assert own.task_id == split(late_starters(), start="first").task_id == whole.task_id.replace("/start=global", "")
    assert "/target=count/start=global/" in whole.task_id
    assert "5 series each from its first event" in own.notes[0]
    assert "5 series all from the log's begin" in whole.notes[0]
    first, second = own.stages["final"].train, whole.stages["final"].train
    assert sorted(first.start) == [0, 10, 20, 30, 40]
    assert (second.start == 0).all()
    assert second.mask.all()
    assert (second.values == np.where(np.arange(72) >= first.start[:, None], first.values, 0.0)).all()
    assert (whole.truths["final"].scales.absolute < own.truths["final"].scales.absolute).any(), "zeros that repeat make the unit smaller"


def test_with_zeros_from_the_begin_no_member_comes_in_that_begins_after_the_cut_off() -> None:
    assert split(late_starters(), start="global").members == {"unique_id": [f"i{n}" for n in range(5)]}


def test_new_data_begins_as_the_run_s_did() -> None:
    run = {
        "facts": {"level": "item", "freq": "D", "horizon": 14, "season": 7, "series": 5, "levels": list(DECILES), "counts": True},
        "context": {},
        "task_id": "x",
    }
    asked = {s: TASK.inference_inputs(late_starters(), run, {"start": s}, PROFILES["full"]).inputs for s in ("first", "global")}
    assert asked["first"].start.max() > 0 == asked["global"].start.max()


def test_where_a_log_begins_is_first_or_global_and_means_nothing_for_given_series() -> None:
    with pytest.raises(ConfigError, match=r"start='zero' is unknown; use first .* or global"):
        split(late_starters(), start="zero")
    with pytest.raises(ConfigError, match="start='global' cannot be set for given"):
        split(series(noise(9, 200)), start="global")


@pytest.mark.parametrize(
    ("options", "series", "said"),
    [({}, 20, ""), ({"series": "all"}, 30, "/series=all/"), ({"series": 25}, 25, "/series=25/"), ({"series": 20}, 20, "")],
)
def test_the_items_with_the_most_events_before_the_test_are_forecast_as_many_as_asked(options: dict, series: int, said: str) -> None:
    """Item i is bought on i + 1 of every 31 days, but item 0 every day of the test, which must not count."""
    days, items = (found.ravel() for found in np.meshgrid(np.arange(124), np.arange(30), indexing="ij"))
    bought = ((days * 7 % 31) <= items) | ((items == 0) & (days >= 96))
    found = split(log(np.zeros(bought.sum(), int), days[bought], items[bought]), **options)
    assert set(found.members["unique_id"]) == {f"i{n}" for n in range(30 - series, 30)}
    assert (said in found.task_id) if said else ("series=" not in found.task_id)


def test_users_are_all_forecast_unless_fewer_are_asked_for_and_given_series_cannot_be_left_out() -> None:
    days = np.arange(124).repeat(25)
    users = np.tile(np.arange(25), 124)
    events = log(users, days, users)
    assert split(events, level="user").facts["series"] == 25
    assert split(events, level="user", series=7).facts["series"] == 7
    with pytest.raises(ConfigError, match="series that are given are all forecast; leave out --set series"):
        split(series(noise(9, 100)), series=3)
    for wrong in ("0", "some", "-1", "1.5"):
        with pytest.raises(ConfigError, match=rf"series='{wrong}' is no number of series; use 1 or more, or all"):
            split(events, series=wrong)
