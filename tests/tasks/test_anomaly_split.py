"""How families are marked and cut: reasons instead of errors, tuning only where it is defined, finite values, no trace of labels."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import bench
from bench.api import Context
from bench.data.events import Events
from bench.data.panel import Panel
from bench.data.series import Series
from bench.metrics.volume import pooled, vus_of
from bench.tasks.anomaly.injection_plan import INJECTED, SCORING, STEERING
from bench.tasks.anomaly.split import FEW_ANOMALOUS
from bench.tasks.anomaly.steering import KINDS, LABELLED, MOST_DRAWS, SteeringRecipe, inject_for_search
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import ModelResult, validation_scores
from bench.tasks.profiles import PROFILES
from bench_plugins import anomaly_floors, anomaly_windows

FULL = PROFILES["full"]
STEPS = 400
LATE = np.isin(np.arange(STEPS), range(300, 320))
START = datetime(2024, 1, 1, tzinfo=UTC)


def noise(n=8, seed=0):
    return list(np.random.default_rng(seed).normal(size=(n, STEPS)))


def data(rows, labels=None):
    """Make daily series, labelled or not; NaN is missing."""
    frames = []
    for k, values in enumerate(rows):
        days = [START + timedelta(days=d) for d in range(len(values))]
        frames.append(pl.DataFrame({"series": f"s{k}", "time": days, "value": np.asarray(values, float)}))
        if labels is not None:
            frames[-1] = frames[-1].with_columns(label=pl.Series(labels[k], dtype=pl.Boolean))
    return Series.build(pl.concat(frames), name="made")


def log(users=40, days=300, seed=0):
    """Make a log of users of different rates."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(2.0, 1.0, (users, 1)), (users, days))
    counts[:, [0, -1]] = 1
    who, when = (np.repeat(at, counts[np.nonzero(counts)]) for at in np.nonzero(counts))
    frame = pl.DataFrame({"user": [f"u{k}" for k in who], "time": [START + timedelta(days=int(d)) for d in when]})
    frame = frame.with_columns(kind=pl.lit("buy"), value=pl.lit(1.0), item=pl.lit(None, pl.String))
    return Events.build(frame, name="made", activity=("buy",))


def splits(of, options=None, seed=0, profile=FULL):
    return Anomaly().splits(of, options or {}, profile, seed, simulated=False)


def only(of, options=None, seed=0):
    (split,) = splits(of, options, seed)
    return split


def metrics(split, model, seed=0):
    panel = split.stages["final"].parts[0]
    finished = Anomaly().finished(split, "final", [{"prediction": model.predict(panel, Context(seed=seed))}], causal=model.causal)
    found = Anomaly().scorer(split, finished.prediction).score(np.ones((1, len(split.truths["final"].group))))
    return {name: float(value[0]) for name, value in found.items()}


# ---- what a worker is handed


def arrays_in(split):
    """Yield every array of every payload."""
    for stage in split.stages.values():
        for panel in [*stage.payloads[0].read(), *(later.read() for later in stage.payloads[1:])]:
            yield from (np.asarray(getattr(panel, f.name)) for f in fields(panel))


def test_a_panel_has_no_field_for_a_label_and_no_array_equals_one():
    split = only(data(noise(), [LATE] * 8))
    names = {f.name for f in fields(Panel)}
    assert names == {"values", "mask", "start", "until", "time", "known", "freq", "season", "seasons", "horizon", "counts", "channels"}
    for labels in (split.truths["final"].labels, *(draw.labels for draw in split.truths["search"].draws)):
        assert labels.any()
        for array in arrays_in(split):
            assert array.shape != labels.shape or not np.array_equal(array.astype(bool), labels)


@pytest.mark.parametrize("family", ["spliced", "injected"])
def test_injected_families_hand_over_values_and_not_where_they_were_changed(family):
    split = only(log(), {"family": family, "strength": "0"})
    other = only(log(), {"family": family, "strength": "0"}, seed=1)
    assert not np.array_equal(split.truths["final"].labels, other.truths["final"].labels)
    assert split.stages["final"].digest == other.stages["final"].digest  # other labels on the same values


def test_where_a_prefix_ends_does_not_tell_where_a_label_begins():
    digests = set()
    for first in (65, 90, 110):
        labels = np.isin(np.arange(STEPS), range(first, first + 20))
        split = only(data(noise(), [labels | LATE] * 8), {"prefix": "0.6"})
        assert set(split.truths["final"].until.tolist()) == {60}  # a quarter of the share
        digests.add(split.stages["final"].digest)
    assert len(digests) == 1


# ---- steering and tuning


def test_steering_injects_kinds_that_are_never_scored():
    assert not set(STEERING.kinds) & set(SCORING.kinds)
    assert not set(KINDS[INJECTED]) & set(SCORING.kinds)
    scored = {i.kind for i in only(data(noise(20))).truths["final"].incidents if not i.decoy}
    assert scored
    assert not scored & set(STEERING.kinds)


def test_the_search_asks_for_the_ends_of_the_prefixes_with_injections_in_them_and_learns_what_stands_before():
    rows = noise()
    split = only(data(rows, [LATE] * 8))
    stage, truth = split.stages["search"], split.truths["search"]
    assert len(stage.parts) - 1 == len(truth.draws) > 1
    assert stage.parts[-1].steps == STEPS, "the labels are asked last"
    for asked, draw in zip(stage.parts[:-1], truth.draws, strict=True):
        step = np.arange(asked.steps)
        steered = draw.labels & (step < draw.end[:, None])
        assert steered.any(axis=1).all(), "each series is steered by in each draw"
        for n, row in enumerate(rows):
            shift = asked.steps - 60
            clean = np.r_[np.zeros(shift), row[: asked.steps - shift]]
            changed = asked.values[n] != clean
            assert changed[steered[n]].mean() > 0.9
            assert not changed[~steered[n]].any()
            assert stage.train.series(n).tolist() == row[:36].tolist()
            assert (asked.until[n], draw.begin[n], draw.end[n]) == (shift + 36, shift + 36, shift + 60)


def test_the_draws_differ_and_another_seed_draws_others():
    split, again = (only(data(noise(4), [LATE] * 4), seed=seed) for seed in (0, 1))
    first, second, *_ = [draw.labels[:, -24:] for draw in split.truths["search"].draws]
    assert not np.array_equal(first, second)
    assert not np.array_equal(again.truths["search"].draws[0].labels[:, -24:], first)


@pytest.mark.parametrize("season", ["1", "288", "86400"])
def test_a_season_longer_than_the_room_leaves_a_search_all_the_same(season):
    split = only(data(noise(), [LATE] * 8), {"season": season})
    assert not split.no_search_reason
    assert all(draw.labels.any() for draw in split.truths["search"].draws)


def test_pooled_entities_take_turns_to_stay_clean():
    split = only(log(), {"family": "injected"})
    dirty = np.array([(d.labels & (np.arange(d.labels.shape[1]) < d.end[:, None])).any(axis=1) for d in split.truths["search"].draws])
    assert (dirty.mean(axis=1) == 0.5).all()
    assert (dirty[:2].sum(axis=0) == 1).all()


def test_injections_into_values_near_the_largest_number_stay_finite():
    panel = only(data([1e308 * np.clip(row, -1, 1) for row in noise(20)], [LATE] * 20)).stages["final"].parts[0]
    draws = inject_for_search(
        panel, np.full(20, 30), [f"s{k}" for k in range(20)], SteeringRecipe(KINDS[LABELLED], 100, alternate=False, seed=0)
    )
    assert 1 < len(draws) <= MOST_DRAWS
    for values, marks in draws:
        assert marks.any()
        assert np.isfinite(values).all()


def predicted(truth, of):
    """Make a prediction of the search stage by a function of each draw's mask."""
    return [{"prediction": of(draw)} for draw in (*truth.draws, *filter(None, [truth.labelled]))]


def test_the_search_is_scored_without_labels_and_the_tunings_by_the_labels_of_either_half():
    split = only(data(noise(), [LATE] * 8))
    truth = split.truths["search"]
    rng = np.random.default_rng(0)
    score = predicted(truth, lambda draw: rng.random(draw.mask.shape))
    found = validation_scores(Anomaly().objectives(split, "search", score))
    assert list(found) == ["label-free", "tuned", "tuned-2"]
    last, whole = truth.labelled, score[-1]["prediction"]
    after = np.arange(last.mask.shape[1]) >= last.end[:, None]
    for tuning, other, rows in (("tuned", "tuned-2", truth.half), ("tuned-2", "tuned", ~truth.half)):
        mine = after & rows[:, None]
        changed = [*score[:-1], {"prediction": np.where(mine, rng.random(whole.shape), whole)}]
        again = validation_scores(Anomaly().objectives(split, "search", changed))
        assert (again["label-free"], again[other]) == (found["label-free"], found[other])
        assert again[tuning] != found[tuning]
        each = [(last.labels[n, after[n]], whole[n, after[n]]) for n in np.flatnonzero(rows)]
        vus = [vus_of(pooled([p], truth.buffer), np.ones((1, 1)))["vus_pr"][0] for p in each]
        assert found[tuning] == pytest.approx(np.mean(vus), abs=0.05)
    perfect = predicted(truth, lambda draw: draw.labels.astype(float))
    of_labels = validation_scores(Anomaly().objectives(split, "search", perfect))
    assert min(of_labels["tuned"], of_labels["tuned-2"], truth.search_score(perfect).value) > 0.9


def test_what_one_halfs_labels_chose_scores_the_other_half():
    split = only(data(noise(), [LATE] * 8))
    half, shape = split.truths["final"].half, split.truths["final"].mask.shape
    assert half.sum() == 4
    (joined,) = Anomaly().cross_fitted(split, [{"prediction": np.zeros(shape)}], [{"prediction": np.ones(shape)}])
    assert (joined["prediction"][half] == 1).all()
    assert (joined["prediction"][~half] == 0).all()


@pytest.mark.parametrize("family", ["labelled", "injected"])
def test_objectives_weigh_entities_and_agree_with_the_values_where_each_counts_once(family):
    split = only(data(noise(), [LATE] * 8)) if family == "labelled" else only(log(), {"family": family})
    truth = split.truths["search"]
    rng = np.random.default_rng(1)
    score = predicted(truth, lambda draw: rng.random(draw.mask.shape))
    values = validation_scores(Anomaly().objectives(split, "search", score))
    for tuning, (scorer,) in Anomaly().objectives(split, "search", score).items():
        ones = np.ones((2, len(scorer.group)))
        assert scorer.score(ones) == pytest.approx([values[tuning]] * 2)
        assert scorer.score(3 * ones) == pytest.approx([values[tuning]] * 2)
        weights = np.random.default_rng(2).integers(0, 3, ones.shape).astype(float)
        assert scorer.score(weights).shape == (2,)
        assert not np.allclose(scorer.score(weights), values[tuning], atol=1e-9)


def test_tuning_by_labels_is_given_up_where_each_series_of_a_half_has_but_one_kind_of_steps():
    split = only(data(noise(), [LATE] * 8))
    whole, none = np.arange(STEPS) >= 0, np.zeros(STEPS, bool)
    labels = [LATE] * 8
    for n, kind in zip(np.flatnonzero(split.truths["final"].half), (whole, none, whole, none), strict=True):
        labels[n] = kind
    odd = only(data(noise(), labels))
    assert "a half of the entities has no anomaly" in odd.missing["tuned"]
    rng = np.random.default_rng(0)
    values = validation_scores(
        Anomaly().objectives(odd, "search", predicted(odd.truths["search"], lambda draw: rng.random(draw.mask.shape)))
    )
    assert list(values) == ["label-free"]
    assert math.isfinite(values["label-free"])


def test_every_entity_is_scored_and_no_label_tunes_where_the_board_itself_injects():
    for split in splits(log()):
        truth = split.truths["final"]
        assert len(truth.group) == len(truth.names)
        assert split.truths["search"].labelled is None
        assert "the board itself has injected" in split.missing["tuned"]


def test_at_least_half_of_the_users_are_clean_and_at_most_two_percent_of_their_steps_labelled():
    for split in splits(log()):
        truth = split.truths["final"]
        dirty = truth.labels[truth.group].any(axis=1)
        assert 0 < dirty.sum() <= len(dirty) / 2
        assert split.facts["labelled_share"] <= 0.02


# ---- strength zero


@pytest.mark.parametrize("family", ["spliced", "injected"])
def test_at_strength_zero_every_floor_scores_at_chance(family):
    models = [*anomaly_floors.bench_models(), anomaly_windows.SubPca]
    found = {m.name: [] for m in models}
    for seed in range(5):
        split = only(log(60, seed=7), {"family": family, "strength": "0"}, seed)
        for m in models:
            found[m.name].append(metrics(split, m({}), seed))
    for name, rows in found.items():
        for metric in ("vus_pr", "auc_pr"):
            ratio = np.mean([r[metric] / c[metric] for r, c in zip(rows, found["random"], strict=True)])
            assert 0.6 < ratio < 1.6, (name, metric)  # at strength 2 it is 3 to 14
        assert np.mean([r["auc_roc"] for r in rows]) == pytest.approx(0.5, abs=0.1), name
        assert np.mean([r["user_auc"] for r in rows]) == pytest.approx(0.5, abs=0.15), name


def test_at_full_strength_the_same_floors_see_the_injections():
    split = only(log(60, seed=7), {"family": "injected", "strength": "4"})
    floor, random = (metrics(split, m({})) for m in (anomaly_floors.AbsMedian, anomaly_floors.Random))
    assert floor["vus_pr"] > 3 * random["vus_pr"]
    assert floor["auc_roc"] > 0.75


# ---- the ceiling


def ceiling(split, weights=None):
    scorer = Anomaly().scorer(split, split.ceiling)
    return scorer.score(np.ones((1, len(split.truths["final"].group))) if weights is None else weights)["vus_pr"]


@pytest.mark.parametrize("family", ["spliced", "injected"])
def test_at_strength_zero_the_oracle_knows_no_more_than_chance(family):
    gaps = []
    for seed in range(5):
        split = only(log(60, seed=7), {"family": family, "strength": "0"}, seed)
        assert not split.ceiling[0]["prediction"].any()
        gaps.append(ceiling(split)[0] - metrics(split, anomaly_floors.Random({}), seed)["vus_pr"])
    assert abs(np.mean(gaps)) < 0.01  # of strength 4 it is 0.8


@pytest.mark.parametrize(("family", "strength"), [("spliced", "1"), ("injected", "4"), ("injected", None)])
def test_of_what_left_a_trace_the_oracle_finds_more_than_any_detector(family, strength):
    models = [*anomaly_floors.bench_models(), anomaly_windows.SubPca]
    for seed in range(3):
        split = only(log(60, seed=7), {"family": family} | ({"strength": strength} if strength else {}), seed)
        found = ceiling(split)[0]
        assert found > max(metrics(split, m({}), seed)["vus_pr"] for m in models)
        assert found > 0.7


def test_the_oracle_says_nothing_of_prefixes_and_there_is_none_where_nothing_was_injected():
    split = only(log(60, seed=7), {"family": "injected", "strength": "4", "buffer": "60"})
    truth, score = split.truths["final"], split.ceiling[0]["prediction"]
    assert score.any()
    assert not score[np.arange(score.shape[1]) < truth.until[:, None]].any()
    assert only(data(noise(), [LATE] * 8)).ceiling == ()
    assert only(data(noise(1))).ceiling == ()


# ---- reasons


def test_a_family_that_finds_no_room_is_a_split_with_a_reason():
    for rows in ([[1.0, 2, 3]], [[1.0, 2, 3]] * 3, [np.full(40, np.nan)] * 2, noise(1)):
        split = only(data(rows))
        assert split.reason.startswith("no room for anomalies")
        assert split.stages["final"].parts[0].steps == len(rows[0])


def test_labels_that_fill_all_that_is_scored_are_a_reason():
    whole = np.arange(STEPS) >= 60
    for labels in ([whole] * 8, [whole] * 4 + [np.zeros(STEPS, bool)] * 4):
        split = only(data(noise(), labels))
        assert split.reason == "where a step after the training prefix is labelled, every one is"
        assert split.facts["anomalous"] == 0


def test_a_board_of_few_anomalous_entities_is_underpowered():
    labels = [LATE] * (FEW_ANOMALOUS - 1) + [np.zeros(STEPS, bool)] * 20
    assert "underpowered" in only(data(noise(len(labels)), labels)).flags
    assert "underpowered" not in only(data(noise(20), [LATE] * 20)).flags


def test_the_task_id_spells_what_was_chosen_and_not_how_large_the_data_is():
    one, other = only(data(noise(8), [LATE] * 8)), only(data(noise(9), [LATE] * 9))
    assert one.task_id == other.task_id
    choices = {"prefix": "0.4", "users": "20", "target": "sum", "buffer": "9", "smooth": "1", "season": "5", "strength": "1"}
    ids = {only(log(), {"family": "injected"} | more).task_id for more in [{}, *({key: text} for key, text in choices.items())]}
    assert len(ids) == 8
    assert only(log(), {"family": "spliced"}).task_id not in ids


def test_another_seed_is_another_task_id_because_it_puts_the_anomalies_elsewhere():
    for family in ("injected", "spliced"):
        one, other = (only(log(), {"family": family}, seed=seed) for seed in (0, 1))
        assert not np.array_equal(one.truths["final"].labels, other.truths["final"].labels)
        assert one.task_id != other.task_id
        assert one.task_id.removesuffix("seed=0") == other.task_id.removesuffix("seed=1")


def test_the_buffer_is_a_hundred_steps_for_series_and_a_season_for_users():
    assert only(data(noise(), [LATE] * 8)).facts["buffer"] == 100
    assert [s.facts["buffer"] for s in splits(log())] == [7, 7]
    assert only(log(), {"family": "spliced", "freq": "W"}).facts["buffer"] == 52


# ---- whatever the values are


def odd_rows():
    rows = noise(10)
    rows[0][20] = rows[1][350] = 1e300
    rows[2][:] = 1e300
    rows[3] *= 1e300
    rows[4][:] = 5.0
    rows[5][:] = np.nan
    rows[6][100:] = np.nan
    rows[7] = rows[7][:3]
    rows[8][::2] = np.nan
    return rows


@pytest.mark.parametrize("labelled", [True, False])
def test_values_of_any_size_reach_models_as_finite_numbers(labelled):
    rows = odd_rows()
    split = only(data(rows, [LATE[: len(r)] for r in rows] if labelled else None))
    for stage in split.stages.values():
        for panel in (stage.train, *stage.parts):
            assert np.isfinite(panel.values).all()
    for model in [m({}) for m in anomaly_floors.bench_models()]:
        found = metrics(split, model)
        assert all(math.isfinite(v) for name, v in found.items() if labelled <= (name != "user_auc")), model.name


def test_intervals_of_a_spike_have_a_finite_severity():
    rows = noise()
    rows[3][310] = 1e300
    split = only(data(rows, [LATE] * 8))
    n = 3
    score = np.abs(split.stages["final"].parts[0].values)
    score[n, 310:320] = 1e308
    score[n, : split.truths["final"].until[n]] *= 1e-6
    done = Anomaly().finished(split, "final", [{"prediction": score}], causal=True).prediction
    found = Anomaly().intervals(split, [ModelResult("m", "default", None, {}, done)])
    assert max(row["severity"] for row in found) > 1e300
    assert all(math.isfinite(row["severity"]) for row in found)


# ---- a whole run

SPY = """
import os, pickle, sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np

from bench.api import Model, hookimpl


def inside(x):
    yield x
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else ()
    if isinstance(x, bytes) and x[:1] == b"\\x80":
        parts = (pickle.loads(x),)
    elif is_dataclass(x) and not isinstance(x, type):
        parts = [getattr(x, f.name) for f in fields(x)]
    for part in parts:
        yield from inside(part)


class Spy(Model):
    name, tasks, deterministic = "spy", frozenset({"anomaly"}), True

    def fit(self, train, ctx):
        self.train = train

    def predict(self, inputs, ctx):
        frame, held = sys._getframe(), []
        while frame:
            held += [x for value in list(frame.f_locals.values()) for x in inside(value) if value is not held]
            frame = frame.f_back
        panels = [x for x in held if type(x).__name__ == "Panel"]
        for x in held:
            if str(type(x).__module__).startswith("bench.tasks"):
                raise RuntimeError(f"reached {type(x)}")
            if isinstance(x, np.ndarray) and x.dtype == bool and not any(x is p.mask for p in panels):
                raise RuntimeError("reached a boolean array that is no mask")
        # every user's days are observed from the first one on: a mask that falls again would be a label
        if len(panels) < 2 or any((np.diff(p.mask.astype(int), axis=1) < 0).any() for p in panels):
            raise RuntimeError(f"{len(panels)} panels, one with a hole")
        if loaded := [name for name in sys.modules if name.startswith("bench.tasks.anomaly.task")]:
            raise RuntimeError(f"loaded {loaded}")
        places = [Path.cwd(), *(Path(os.environ[name]) for name in ("HOME", "TMPDIR"))]
        if files := [f for place in places for f in place.rglob("*") if f.is_file()]:
            raise RuntimeError(f"found {files}")
        return np.zeros(inputs.values.shape)

    def save(self, folder): ...
    def load(self, folder): ...


@hookimpl
def bench_models():
    return [Spy]
"""
"""A model that looks through all that it can reach: the callers' frames, the pickled stages, modules, files."""


def test_a_run_tells_the_three_families_apart_and_spies_find_no_label(tmp_path):
    spy = tmp_path / "spy.py"
    spy.write_text(SPY)
    models = ["random", "abs-median", "rolling-mean", "rolling-variance", "spy"]
    board = bench.run("anomaly", datasets=["retail"], models=models, plugins=[spy], profile="smoke", out=tmp_path / "run")
    assert all(r["status"] == "ok" for r in board.rows), [(r["model"], r["reason"]) for r in board.rows if r["status"] != "ok"]
    assert {r["family"] for r in board.rows} >= {"spliced", "injected"}
    assert len({r["task_id"] for r in board.rows}) == len({r["family"] for r in board.rows})
    intervals = pl.read_parquet(tmp_path / "run" / "intervals.parquet")
    assert {"model", "entity", "start", "end", "severity", "task_id", "dataset"} <= set(intervals.columns)


def test_a_run_where_nothing_fits_ends_in_rows_with_reasons(tmp_path):
    (tmp_path / "tiny.csv").write_text("unique_id,ds,y\n" + "".join(f"s,2024-01-0{d},{d}\n" for d in (3, 1, 2)))
    board = bench.run("anomaly", datasets=[f"series={tmp_path / 'tiny.csv'}"], models=["random", "sub-pca"], trials=1, out=tmp_path / "run")
    assert {(r["model"], r["status"]) for r in board.rows} == {("random", "skipped"), ("sub-pca", "skipped")}
    assert all("no room for anomalies" in r["reason"] for r in board.rows)


def test_a_later_step_changes_no_smoothed_score_before_it():
    split = only(data(noise(), [LATE] * 8))
    panel = split.stages["final"].parts[0]
    later = replace(panel, values=np.where(np.arange(STEPS) >= 250, 77.0, panel.values))
    for m in [*anomaly_floors.bench_models(), anomaly_windows.SubPca]:
        model = m({})
        one, other = (
            Anomaly().finished(split, "final", [{"prediction": model.predict(p, Context())}], causal=m.causal).prediction[0]["prediction"]
            for p in (panel, later)
        )
        assert np.array_equal(one[:, :250], other[:, :250]) == m.causal, m.name
