"""The ensemble: towards equal weights, none of it clearly behind on validation, the same whatever happens."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import run_kit
from execute.kit import bench_process, tiny_split, wait_until
from hypothesis import given, settings
from hypothesis import strategies as st
from tasks.forecast_kit import forecast_of, noise, series, split

from bench.board import Board
from bench.execute.prediction_files import read_prediction
from bench.runs.ensemble import FEW, LEAST, MOST, STEPS, Member, choose
from bench.tasks.base import Prediction, Split, Task, validation_scores, weighted_median
from bench.tasks.churn.task import Churn
from bench.tasks.forecasting.task import Forecasting

TINY = tiny_split()
SERIES = split(series(noise(5, 90)), horizon=5, season=7, windows=1)


def score_of(task: Task, found: Split, prediction: Prediction) -> float:
    return validation_scores(task.objectives(found, "search", prediction))["tuned"]


def members(task: Task, found: Split, predictions: list[Prediction]) -> list[Member]:
    """Order members as a run does: the best first, of equals by name."""
    made = [Member(f"m{n}", "tuned", {"search": p}, score_of(task, found, p), (), local=True) for n, p in enumerate(predictions)]
    sign = 1 if found.ranking.higher else -1
    return sorted(made, key=lambda m: (-sign * m.value, m.model))


def probabilities(seed: int, n: int, *, coarse: bool) -> list[Prediction]:
    """Make random P(churn), some tied, some that know a little of the truth."""
    rng, y = np.random.default_rng(seed), TINY.truths["search"].y
    raw = [rng.random(len(y)) * (1 - k) + y * k for k in rng.uniform(0, 0.5, n)]
    return [[{"prediction": np.round(p, 1) if coarse else p}] for p in raw]


def forecasts(seed: int, n: int) -> list[Prediction]:
    """Make random forecasts, each shrunk towards the truth by a share of its own."""
    rng, y = np.random.default_rng(seed), SERIES.truths["search"].y
    found = []
    for at, share in enumerate(rng.uniform(0, 0.8, n)):
        (part,) = forecast_of(SERIES, "search", seed=seed * 100 + at)
        found.append(
            [{name: (1 - share) * part[name] + share * (y[0] if name == "mean" else y[0][:, :, None]) for name in ("quantiles", "mean")}]
        )
    return found


def advantage(task: Task, found: Split, own: list[Member]) -> float:
    """Check what an ensemble says of itself; return by how much it is better on validation than its best member."""
    chosen = choose(own, task, found)
    sign = 1 if found.ranking.higher else -1
    assert sum(chosen.weights.values()) == pytest.approx(1, abs=1e-12)
    assert all(weight >= 1 / (STEPS + FEW) - 1e-12 for weight in chosen.weights.values())
    by_name = {m.model: m for m in own}
    mixed = task.combined([(by_name[name].valid["search"], weight) for name, weight in sorted(chosen.weights.items())])
    assert score_of(task, found, mixed) == pytest.approx(chosen.value, abs=1e-9)
    shuffled = random.Random(1).sample(own, len(own))
    assert choose(members(task, found, [m.valid["search"] for m in sorted(shuffled, key=lambda m: m.model)]), task, found) == chosen
    return sign * chosen.value - max(sign * m.value for m in own)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, LEAST - 1), coarse=st.booleans())
def test_an_ensemble_of_a_small_board_of_churn_is_never_worse_on_validation_than_its_best_member(seed: int, n: int, coarse: bool) -> None:
    assert advantage(Churn(), TINY, members(Churn(), TINY, probabilities(seed, n, coarse=coarse))) >= 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(LEAST, MOST + 2), coarse=st.booleans())
def test_an_ensemble_for_churn_is_the_mean_of_all_that_validation_cannot_tell_from_the_best(seed: int, n: int, coarse: bool) -> None:
    own = members(Churn(), TINY, probabilities(seed, n, coarse=coarse))
    advantage(Churn(), TINY, own)
    best, *drawn = (replicates(m.valid["search"]) for m in own)
    level = [own[0], *(m for m, each in zip(own[1:], drawn, strict=True) if own[0].value - m.value <= np.nanstd(best - each))][:MOST]
    assert choose(own, Churn(), TINY).weights == {m.model: 1 / len(level) for m in level}


def replicates(prediction: Prediction) -> np.ndarray:
    return Churn().objectives(TINY, "search", prediction)["tuned"][0].replicates(0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 5))
def test_an_ensemble_for_forecasting_is_worse_on_validation_than_its_best_member_by_its_standard_error_at_most(seed: int, n: int) -> None:
    task, own = Forecasting(), members(Forecasting(), SERIES, forecasts(seed, n))
    kept = own[0].valid["search"], median_of(own[:FEW]), median_of(own[:2])
    best, *others = (task.objectives(SERIES, "search", p)["tuned"][0].replicates(0) for p in kept)
    assert advantage(task, SERIES, own) >= -max(np.nanstd(other - best) for other in others) - 1e-9


def median_of(own: list[Member]) -> Prediction:
    parts = [m.valid["search"][0] for m in own]
    return [{name: np.median([part[name] for part in parts], axis=0) for name in ("quantiles", "mean")}]


def test_an_ensemble_of_forecasts_is_the_median_of_the_three_best_unless_fewer_are_better_beyond_doubt() -> None:
    """Three that know as much as each other, and a fourth that knows less; then one that knows everything."""
    task, (truth,), (noisy,) = Forecasting(), SERIES.truths["search"].y, forecast_of(SERIES, "search", seed=1)
    exact = {"quantiles": np.repeat(truth[..., None], noisy["quantiles"].shape[2], axis=2), "mean": truth}

    def off(by: float, seed: int) -> Prediction:
        error = np.random.default_rng(seed).normal(0, by, truth.shape)
        return [{"quantiles": exact["quantiles"] + error[..., None], "mean": truth + error}]

    alike = members(task, SERIES, [off(2.0, 1), off(2.0, 2), off(2.0, 3), off(20.0, 4)])
    chosen = choose(alike, task, SERIES)
    assert chosen.weights == dict.fromkeys(("m0", "m1", "m2"), 1 / 3)
    assert chosen.value == pytest.approx(score_of(task, SERIES, median_of(alike[:3])))
    assert choose(members(task, SERIES, [[exact], off(5.0, 1), off(5.0, 2)]), task, SERIES).weights == {"m0": 1.0}
    # of models that learn over all series one may be a member
    one_local = [replace(m, local=m.model in {"m2", "m3"}) for m in alike]
    first = next(m.model for m in alike if m.model in {"m0", "m1"})
    assert set(choose(one_local, task, SERIES).weights) <= {first, "m2", "m3"}


def test_the_median_of_forecasts_heeds_weights_and_lies_between_the_middle_two() -> None:
    one = [[{"mean": np.array([x])}] for x in (1.0, 2.0, 10.0, 4.0)]
    assert weighted_median([(p, 1 / 3) for p in one[:3]])[0]["mean"] == [2.0]
    assert weighted_median([(p, 1 / 4) for p in one])[0]["mean"] == [3.0]
    assert weighted_median(list(zip(one[:3], (0.2, 0.2, 0.6), strict=True)))[0]["mean"] == [10.0]
    assert weighted_median(list(zip(one[:2], (0.5, 0.5), strict=True)))[0]["mean"] == [1.5]


class Greedy(Churn):
    """Churn whose ensembles are chosen as those of detectors are."""

    ensembles = "grown"


def test_an_addition_that_helps_by_less_than_its_standard_error_is_not_taken() -> None:
    """Models that know as much as each other, of which a fourth helps by luck: the mean of the three stays."""
    rng, y = np.random.default_rng(5), TINY.truths["search"].y
    own = members(Churn(), TINY, [[{"prediction": np.clip(0.3 + 0.2 * y + rng.normal(0, 0.2, len(y)), 0, 1)}] for _ in range(6)])
    chosen = choose(own, Greedy(), TINY)
    assert len(chosen.weights) <= FEW
    assert set(chosen.weights.values()) == {1 / len(chosen.weights)}


def test_two_halves_of_the_truth_are_put_together() -> None:
    y = TINY.truths["search"].y.astype(float)
    half = np.arange(len(y)) % 2 == 0
    own = [[{"prediction": np.where(half, y, 0.5)}], [{"prediction": np.where(half, 0.5, y)}]]
    chosen = choose(members(Churn(), TINY, own), Churn(), TINY)
    assert chosen.weights == {"m0": 0.5, "m1": 0.5}
    assert chosen.value == 1.0


@pytest.mark.parametrize("more", [0, 2])
def test_members_that_only_harm_are_left_out(more: int) -> None:
    """On a small board as on a larger one."""
    y = TINY.truths["search"].y.astype(float)
    own = members(Churn(), TINY, [[{"prediction": p}] for p in (y, 1 - y, *[np.full(len(y), 0.5)] * (1 + more))])
    assert choose(own, Churn(), TINY).weights == {"m0": 1.0}


@pytest.mark.parametrize("kind", ["churn", "forecasting", "anomaly"])
def test_a_run_ends_with_an_ensembles_row_that_is_not_worse_on_validation_and_has_its_test_score_beside_it(kind: str) -> None:
    board = Board.read(getattr(run_kit, kind)() / "run")
    ensembles = [row for row in board.rows if row["model"] == "ensemble"]
    assert len(ensembles) <= len({row["dataset"] for row in board.rows})
    for row in ensembles:
        sign = -1 if kind == "forecasting" else 1
        rivals = [r for r in board.rows if r["dataset"] == row["dataset"] and r["model"] not in {"ensemble", "mean-of-3"}]
        assert len({r["model"] for r in rivals}) >= row["trials"] >= 2
        # detectors are averaged in deviations of the prefix, whose mean is scored anew
        assert (
            kind in {"anomaly", "forecasting"}  # a median of forecasts may be worse within its standard error
            or sign * row["valid_score"] >= max(sign * r["valid_score"] for r in rivals if r["model"] in json.loads(row["params"])) - 1e-12
        )
        metric = {"churn": "roc_auc", "forecasting": "mase", "anomaly": "vus_pr"}[kind]
        assert all(math.isfinite(row[name]) for name in (metric, f"{metric}_low", f"{metric}_high", "behind"))
        weights = json.loads(row["params"])
        assert sum(weights.values()) == pytest.approx(1)
        assert set(weights) <= {r["model"] for r in rivals}
        assert row["fit_seconds"] > 0


def test_a_detectors_run_says_how_far_each_agrees_with_the_others_and_what_the_injections_gave() -> None:
    place = run_kit.anomaly()
    details = pl.read_parquet(place / "run" / "details.parquet").filter(by="steering")
    agreed = details.filter(at="agreement")
    assert set(agreed["model"]) & set(run_kit.ANOMALY)
    assert not set(agreed["model"]) & {"ensemble", "mean-of-3"}
    assert agreed["search_score"].is_between(-1, 1).all()
    assert agreed["vus_pr"].is_between(0, 1).all()
    shared = details.filter(at="injections").join(agreed, on=["task_id", "dataset", "model"])
    assert (shared["vus_pr"] == shared["vus_pr_right"]).all()


def test_an_ensembles_prediction_on_test_is_the_weighted_mean_of_its_members_final_fits_of_all_seeds() -> None:
    place = run_kit.churn()
    row = next(r for r in Board.read(place / "run").rows if r["model"] == "mean-of-3" and r["dataset"] == "calm")
    index = pl.read_parquet(place / "run" / "predictions.parquet").filter(dataset="calm").sort("tuning")
    files = {(r["model"], r["seed"]): place / "run" / r["file"] for r in index.to_dicts()}  # tuned where there is one
    weights = json.loads(row["params"])
    fits = {m: [read_prediction(file)[0]["prediction"] for (model, _), file in files.items() if model == m] for m in weights}
    assert max(map(len, fits.values())) == 2, "a member that draws was fitted with two seeds"
    made = sum(w * np.mean(fits[m], axis=0) for m, w in weights.items())
    np.testing.assert_allclose(read_prediction(files["mean-of-3", 0])[0]["prediction"], made, rtol=1e-12)


def test_a_forecasting_runs_ensemble_is_the_median_of_its_members_and_its_floor_their_mean() -> None:
    place = run_kit.forecasting()
    index = pl.read_parquet(place / "run" / "predictions.parquet").sort("tuning")
    files = {(r["dataset"], r["model"]): place / "run" / r["file"] for r in index.filter(seed=0).to_dicts()}  # tuned where there is one
    found = [r for r in Board.read(place / "run").rows if r["model"] in {"ensemble", "mean-of-3"}]
    assert {r["model"] for r in found} == {"ensemble", "mean-of-3"}
    for row in found:
        parts = [read_prediction(files[row["dataset"], m])[0]["quantiles"] for m in json.loads(row["params"])]
        made = np.median(parts, axis=0) if row["model"] == "ensemble" else np.mean(parts, axis=0)
        np.testing.assert_allclose(read_prediction(files[row["dataset"], row["model"]])[0]["quantiles"], made, rtol=1e-9, atol=1e-9)


def test_an_ensemble_of_one_model_has_no_row_beside_it(tmp_path: Path) -> None:
    run_kit.purchases(0.01, seed=1).write_csv(tmp_path / "log.csv")
    more = {"datasets": [f"events={tmp_path / 'log.csv'}"], "options": {"horizon": "14d", "cutoffs": 1}}
    board = run_kit.run("churn", tmp_path / "run", models=["rfm-logit", "base-rate"], **more)
    assert "ensemble" not in {row["model"] for row in board.rows}


def test_a_run_that_was_killed_ends_with_the_same_ensemble(tmp_path: Path) -> None:
    whole, ledger = run_kit.churn(), tmp_path / "run" / "ledger.jsonl"
    logs = [f"events={whole / name}.csv" for name in ("calm", "wild")]
    words = [f"--{k}={v}" for k, vs in {"dataset": logs, "model": run_kit.CHURN, "set": ["horizon=14d", "cutoffs=2"]}.items() for v in vs]
    words += ["--task=churn", "--profile=smoke", "--trials=2", "--seeds=2", "--workers=1", "--quiet", f"--out={tmp_path / 'run'}"]
    process = bench_process(["run", *words], {"BENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"})
    wait_until(lambda: ledger.exists() and ledger.read_bytes().count(b"\n") >= 5, "five jobs are done")
    process.kill()
    process.communicate()
    assert not (tmp_path / "run" / "leaderboard.parquet").exists()
    run_kit.run("churn", tmp_path / "run", datasets=logs, models=run_kit.CHURN, options={"horizon": "14d", "cutoffs": 2}, seeds=2)
    rows = [[r for r in Board.read(folder).rows if r["model"] == "mean-of-3"] for folder in (whole / "run", tmp_path / "run")]
    vary = {"created", "fit_seconds", "predict_seconds"}
    one, other = ([{k: v for k, v in row.items() if k not in vary} for row in own] for own in rows)
    assert one == other
    assert {len(json.loads(row["params"])) for row in rows[0]} == {3}
    files = sorted(file.name for file in (whole / "run" / "predictions").glob("mean-of-3-*.npz"))
    assert len(files) == 2
    for name in files:
        made, again = (read_prediction(folder / "predictions" / name)[0]["prediction"] for folder in (whole / "run", tmp_path / "run"))
        np.testing.assert_array_equal(made, again)
