"""The anomaly task: who sees what, what is scored, and what the boards say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import bench
from bench.data.panel import Panel
from bench.data.series import Series
from bench.errors import ConfigError
from bench.metrics import vus
from bench.report import build
from bench.runs.predict import predict
from bench.tasks.anomaly.plan import halved
from bench.tasks.anomaly.smoothing import rolling_mean
from bench.tasks.anomaly.split import aligned
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.profiles import PROFILES

SHORT = PROFILES["short"]
FLOORS = ("random", "abs-median", "rolling-mean", "rolling-mean-centred")


def series(n: int = 8, steps: int = 400, seed: int = 0, *, first: int = 150, width: int = 20, labelled: bool = True) -> Series:
    """Make daily series, each with one raised and labelled stretch that begins at `first` or later."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        value, label = rng.normal(size=steps), np.zeros(steps, bool)
        at = first + 20 * (k % 5)
        value[at : at + width] += 6
        label[at : at + width] = True
        day = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1) + pl.duration(days=steps - 1), "1d", eager=True)
        frames.append(pl.DataFrame({"series": f"s{k}", "time": day, "value": value, "label": label}))
    frame = pl.concat(frames)
    return Series.build(frame if labelled else frame.drop("label"), name="made")


def split_of(data: Series, options: dict[str, str] | None = None, seed: int = 0):
    (split,) = Anomaly().splits(data, options or {}, SHORT, seed, simulated=False)
    return split


# ---- what workers are handed


def test_labels_change_nothing_that_a_worker_is_handed():
    data = series()
    split = split_of(data)
    turned = data.frame.with_columns(label=pl.col("label").shift(30, fill_value=False).over("series"))
    other = split_of(Series.build(turned, name="made"))
    for stage in ("search", "final"):
        assert split.stages[stage].payloads == other.stages[stage].payloads
    assert not np.array_equal(split.truths["final"].labels, other.truths["final"].labels)


def test_no_payload_holds_a_boolean_array_but_the_mask_of_what_was_observed():
    for stage in split_of(series()).stages.values():
        train, first = stage.payloads[0].read()
        assert isinstance(train, Panel)
        assert train.mask.all()
        assert first.mask.sum() == first.lengths.sum()


def test_what_steers_the_search_is_no_step_after_a_prefix():
    data = series()
    split = split_of(data)
    final = split.truths["final"]
    changed = data.frame.with_columns(row=pl.int_range(pl.len()).over("series"))
    until = dict(zip(final.names, final.until.tolist(), strict=True))
    late = pl.any_horizontal([(pl.col("series").cast(pl.String) == n) & (pl.col("row") >= until[n]) for n in final.names])
    other = split_of(Series.build(changed.with_columns(value=pl.when(late).then(99.0).otherwise("value")).drop("row"), name="made"))
    steering = len(split.truths["search"].draws)
    assert len(split.stages["search"].parts) == steering + 1, "the labels are asked last"
    for part, asked in zip(other.stages["search"].parts[:steering], split.stages["search"].parts[:steering], strict=True):
        assert np.array_equal(part.values, asked.values)
    assert other.stages["final"].digest != split.stages["final"].digest


def test_the_search_learns_before_the_injections_and_no_clean_copy_of_them_is_there():
    split = split_of(series())
    stage, truth = split.stages["search"], split.truths["search"]
    assert (stage.train.lengths <= truth.draws[0].begin - truth.draws[0].start).all()
    for draw in truth.draws:
        step = np.arange(draw.mask.shape[1])
        steered = draw.labels & (step < draw.end[:, None])
        assert steered.any()
        assert not steered[step < draw.begin[:, None]].any()


def test_alignment_of_labels_agrees_with_that_of_panels():
    rng = np.random.default_rng(0)
    panel = split_of(series()).stages["final"].parts[0]
    at = rng.integers(100, panel.steps, len(panel))
    assert np.array_equal(aligned(panel.values, at) * 1.0, panel.ending(at).values)


# ---- prefixes, halves, refusals


def test_a_prefix_ends_before_the_first_labelled_step_or_is_marked_contaminated():
    early = split_of(series(first=65), {"prefix": "0.3"})
    assert set(early.truths["final"].until.tolist()) == {60, 120}, "halved, not cut at the label, which would tell where it is"
    assert not (early.truths["final"].labels & (np.arange(400) < early.truths["final"].until[:, None])).any()
    assert "contaminated" not in early.flags
    hopeless = split_of(series(first=10), {"prefix": "0.3"})
    assert "contaminated" in hopeless.flags
    assert any("contaminated" in note for note in hopeless.notes)


@pytest.mark.parametrize(("n", "expected"), [(4, 0), (5, 0), (6, 3), (7, 3), (40, 20)])
def test_entities_are_halved_and_fewer_than_six_are_not(n, expected):
    names = [f"e{k}" for k in range(n)]
    chosen, why = halved(names, 3)
    assert chosen.sum() == expected
    assert bool(why) == (expected == 0)
    turned, _ = halved(names[::-1], 3)
    assert np.array_equal(turned[::-1], chosen), "the order of the entities does not matter"


def test_six_labelled_series_are_ranked_all():
    split = split_of(series(n=6))
    assert "underpowered" not in split.flags
    assert len(split.truths["final"].group) == 6
    assert not split.missing


def test_of_few_entities_there_is_no_label_tuned_row_but_its_reason():
    split = split_of(series(n=4))
    assert "too few" in split.missing["tuned"]
    assert len(split.truths["final"].group) == 4


def test_one_series_with_a_prefix_has_a_search():
    split = split_of(series(n=1))
    assert not split.no_search_reason
    assert set(split.missing) == {"tuned"}


def test_a_prefix_without_room_steers_nothing_and_says_so():
    split = split_of(series(n=2, steps=60, first=30, width=5), {"prefix": "0.05"})
    assert split.no_search_reason.startswith("nothing can steer a search: no room for injections")
    assert set(split.missing) == {"label-free", "tuned"}


@pytest.mark.parametrize(("key", "value"), [("family", "odd"), ("strength", "-1"), ("prefix", "2"), ("buffer", "0"), ("users", "3")])
def test_an_option_that_means_nothing_is_refused(key, value):
    with pytest.raises(ConfigError, match=key):
        split_of(series(), {key: value})


def test_nothing_labelled_after_the_prefixes_is_a_reason():
    quiet = series().frame.with_columns(label=pl.lit(value=False))
    assert "no scored entity has an anomaly" in split_of(Series.build(quiet, name="made")).reason


# ---- scores


def test_the_board_scores_after_the_prefix_alone_and_averages_over_series():
    split = split_of(series())
    truth = split.truths["final"]
    rng = np.random.default_rng(1)
    score = rng.normal(size=truth.mask.shape)
    own = [vus(truth.labels[n, truth.until[n] :], score[n, truth.until[n] :], truth.buffer)[1] for n in truth.group]
    found = Anomaly().scorer(split, [{"prediction": score}]).score(np.ones((1, len(truth.group))))
    assert found["vus_pr"][0] == pytest.approx(np.mean(own))


def test_smoothing_of_a_causal_model_looks_back_only_and_has_one_width_for_all():
    split = split_of(series())
    rng = np.random.default_rng(2)
    score = rng.normal(size=split.truths["final"].mask.shape)
    later = score.copy()
    later[:, 300:] = 9.0
    task = Anomaly()
    causal, other = (task.finished(split, "final", [{"prediction": s}], causal=True).prediction[0]["prediction"] for s in (score, later))
    assert np.array_equal(causal[:, :300], other[:, :300])
    centred = task.finished(split, "final", [{"prediction": score}], causal=False).prediction[0]["prediction"]
    assert np.allclose(centred, rolling_mean(score, split.facts["smooth"], centred=True))


def test_each_mode_has_a_width_of_its_own_or_none():
    split = split_of(series(), {"smooth": "7", "smooth_causal": "off"})
    assert "/smooth=7/smooth_causal=1/" in split.task_id
    score = np.random.default_rng(2).normal(size=split.truths["final"].mask.shape)
    causal, centred = (
        Anomaly().finished(split, "final", [{"prediction": score}], causal=c).prediction[0]["prediction"] for c in (True, False)
    )
    assert np.allclose(causal, score)
    assert np.allclose(centred, rolling_mean(score, 7, centred=True))


def test_of_strength_zero_nothing_is_changed_and_a_detector_scores_at_chance():
    data = series(n=40, labelled=False)
    plain = split_of(data, {"strength": "0"})
    values = plain.stages["final"].parts[0].values
    assert np.array_equal(values, data.frame["value"].to_numpy().reshape(values.shape))
    assert plain.truths["final"].labels.any()
    strong = split_of(data, {"strength": "8"})
    areas = []
    for split in (plain, strong):
        panel = split.stages["final"].parts[0]
        score = np.abs(panel.values - np.median(panel.values, axis=1, keepdims=True))
        areas.append(Anomaly().scorer(split, [{"prediction": score}]).score(np.ones((1, len(split.truths["final"].group))))["auc_roc"][0])
    assert abs(areas[0] - 0.5) < 0.08
    assert areas[1] > 0.7


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"prediction": np.zeros(3)}, "expected"),
        ({"prediction": np.full((8, 400), np.nan)}, "not finite"),
        ({"prediction": np.zeros((8, 400), int)}, "expected floats"),
        ({"quantiles": np.zeros(3)}, "Forecast"),
    ],
)
def test_what_is_no_score_is_invalid_with_its_reason(arrays, words):
    assert words in Anomaly().invalid(split_of(series()), "final", 0, arrays)


def test_intervals_for_people_name_entity_time_and_severity():
    split = split_of(series())
    truth = split.truths["final"]
    score = truth.labels * 5.0 + np.random.default_rng(0).random(truth.mask.shape)
    from bench.tasks.base import ModelResult

    rows = Anomaly().intervals(split, [ModelResult("m", "default", None, {}, [{"prediction": score}])])
    hit = [row for row in rows if row["severity"] > 2]
    assert {row["entity"] for row in hit} == {truth.names[n] for n in truth.group}
    assert all(row["start"] <= row["end"] for row in rows)


# ---- boards


def test_a_run_on_a_simulator_has_a_board_for_each_family_and_league(tmp_path):
    options = {"family": "injected"}
    board = bench.run("anomaly", datasets=["retail"], models=FLOORS, profile="smoke", out=tmp_path / "run", options=options)
    assert all(r["status"] == "ok" for r in board.rows)
    assert {label.partition(", ")[2] for _, label in board.verdicts} == {"causal", "offline"}
    again = bench.run("anomaly", datasets=["retail"], models=FLOORS, profile="smoke", out=tmp_path / "run", options=options)
    assert [r["vus_pr"] for r in again.rows] == [r["vus_pr"] for r in board.rows]
    assert (tmp_path / "run" / "intervals.parquet").is_file()
    # one ceiling stands above all, in every row's column and in words; it is no model, so it has no row, no rank, no lead
    ((value, low, high),) = {tuple(r[f"ceiling{end}"] for end in ("", "_low", "_high")) for r in board.rows}
    assert max(r["vus_pr"] for r in board.rows) < value
    assert low <= value <= high
    assert {r["model"] for r in board.rows} - {"ensemble"} == {*FLOORS, "mean-of-3", "abs-median-centred"}
    assert board.table().count("by an oracle that knows how the truth was made; no model, not ranked") == 2
    pages = [file.read_text() for file in build(tmp_path / "run").parent.glob("board-*.html")]
    assert len(pages) == 2
    assert all("an oracle that knows how the truth was made" in text for text in pages)


def test_real_tweets_end_in_a_board_with_floors_in_their_known_order(real, tmp_path):
    data = f"social={real / 'nab' / 'realTweets'}"
    board = bench.run("anomaly", datasets=[data], models=FLOORS, profile="smoke", out=tmp_path / "run")
    found = {r["model"]: r["vus_pr"] for r in board.rows}
    assert {r["ceiling"] for r in board.rows} == {None}
    assert found["random"] < 0.15 < found["abs-median"] < found["rolling-mean-centred"]
    above = {r["model"]: r["above_floor"] for r in board.rows}
    causal = max(("abs-median", "rolling-mean"), key=lambda name: found[name])
    best = max((name for name in found if name.startswith(("abs-", "rolling-"))), key=lambda name: found[name])
    assert above[causal] == above[best] == 0.0, "the best floor of each league, offline of both"
    assert above["abs-median-centred"] == found["abs-median-centred"] - found[best]
    assert all(r["vus_pr_low"] < r["vus_pr"] < r["vus_pr_high"] for r in board.rows)


def test_series_of_different_steps_are_each_scored_by_their_own_day(tmp_path):
    frames = []
    for k, minutes in enumerate((60, 60, 60, 30)):
        steps = 24 * 60 // minutes * 20
        stamps = pl.datetime_range(
            pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1) + pl.duration(minutes=minutes * (steps - 1)), f"{minutes}m", eager=True
        )
        day = np.tile(np.random.default_rng(k).permutation(24 * 60 // minutes).astype(float), 20)
        label = np.zeros(steps, bool)
        label[-40:-30] = True
        frames.append(pl.DataFrame({"unique_id": f"s{k}", "ds": stamps, "y": day + 0.5 * label, "label": label.astype(int)}))
    pl.concat(frames).write_csv(tmp_path / "mixed.csv")
    models = ["random", "seasonal-residual"]
    given = {"datasets": [f"series={tmp_path / 'mixed.csv'}"], "models": models, "profile": "smoke"}
    board = bench.run("anomaly", out=tmp_path / "run", options={"buffer": "2", "smooth": "1"}, **given)
    (task_id,) = {r["task_id"] for r in board.rows}
    assert "/freq=30min+h/season=48+24/" in task_id
    found = {r["model"]: r for r in board.rows}
    assert found["seasonal-residual"]["auc_pr"] == 1.0  # of its own day each series knows every value
    asked = predict(tmp_path / "run", tmp_path / "mixed.csv", model="seasonal-residual")
    assert (asked.filter(pl.col("score") > 0)["entity"].value_counts()["count"] == 10).all()
    alone = pl.concat(frames[:1])
    alone.write_csv(tmp_path / "alone.csv")
    asked = predict(tmp_path / "run", tmp_path / "alone.csv", model="seasonal-residual")
    assert asked.filter(pl.col("score") > 0).height == 10


PATHOLOGICAL = {
    "constant": (np.full(300, 3.0), np.r_[np.zeros(250), np.ones(10), np.zeros(40)]),
    "missing": (np.full(300, np.nan), np.r_[np.zeros(250), np.ones(10), np.zeros(40)]),
    "three": (np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1])),
    "spikes": (np.where(np.arange(300) == 255, 1e300, 1.0), np.r_[np.zeros(250), np.ones(10), np.zeros(40)]),
    "positives": (np.arange(300.0), np.ones(300)),
    "negatives": (np.arange(300.0), np.zeros(300)),
    "normal": (np.sin(np.arange(300.0)), np.r_[np.zeros(250), np.ones(10), np.zeros(40)]),
}


def test_pathological_series_end_as_rows_with_scores_or_reasons(tmp_path):
    lines = ["unique_id,ds,y,label"]
    for name, (values, label) in PATHOLOGICAL.items():
        days = np.datetime64("2024-01-01") + np.arange(len(values))
        rows = [f"{name},{d},{'' if np.isnan(v) else v},{int(y)}" for d, v, y in zip(days, values, label, strict=True)]
        lines += rows[::-1]  # not in the order of time
    (tmp_path / "odd.csv").write_text("\n".join(lines) + "\n")
    models = (*FLOORS, "rolling-variance", "seasonal-residual", "sub-pca", "arima", "state-space")
    board = bench.run("anomaly", datasets=[f"series={tmp_path / 'odd.csv'}"], models=models, trials=1, out=tmp_path / "run")
    assert {r["model"] for r in board.rows} >= set(models)
    assert all(r["status"] == "ok" or r["reason"] for r in board.rows)
    assert all(r["vus_pr"] is not None for r in board.rows if r["status"] == "ok")


def test_the_profile_is_no_part_of_what_is_scored():
    data = series()
    whole, small = (Anomaly().splits(data, {}, p, 0, simulated=False)[0] for p in (SHORT, replace(SHORT, rows=10, history=4)))
    assert np.array_equal(whole.truths["final"].labels, small.truths["final"].labels)
    assert whole.stages["final"].digest == small.stages["final"].digest
