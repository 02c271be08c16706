"""One fit, two rows: a causal model stands among the offline ones with the same scores, brought to the middle of a window."""

from __future__ import annotations

import numpy as np
import pytest
import run_kit

from bench.board import Board
from bench.runs.ensemble import BLENDS
from bench.runs.offline_rows import SUFFIX, base_of
from bench.runs.predict import predict
from bench.tasks.anomaly.smoothing import moved, rolling_mean

CAUSAL = ("rolling-mean", "sub-pca", "iforest")


@pytest.fixture(scope="module")
def rows():
    return Board.read(run_kit.anomaly() / "run").rows


def test_every_causal_model_but_the_reference_has_an_offline_row_of_the_same_fit(rows):
    made = {row["model"]: row for row in rows if base_of(row) != row["model"]}
    assert set(made) == {f"{name}{SUFFIX}" for name in CAUSAL}
    for name, row in made.items():
        (fit,) = [r for r in rows if (r["model"], r["tuning"]) == (base_of(row), row["tuning"])]
        assert (row["mode"], fit["mode"], row["status"]) == ("offline", "causal", "ok")
        assert (row["fit_seconds"], row["params"]) == (fit["fit_seconds"], fit["params"])
        assert row["rank"] is not None, name


@pytest.mark.parametrize("name", CAUSAL)
def test_its_scores_are_those_of_the_fit_smoothed_around_each_step(name):
    place = run_kit.anomaly() / "run"
    (causal,), (offline,) = (run_kit.stored(place, model, "marked") for model in (name, f"{name}{SUFFIX}"))
    real = np.ones(causal["prediction"].shape, bool)
    expected = rolling_mean(causal["prediction"], 3, centred=True, real=real)
    np.testing.assert_allclose(offline["prediction"], expected, rtol=1e-12)


def test_new_data_is_scored_by_it_as_the_run_scored():
    place = run_kit.anomaly()
    found = predict(place / "run", place / "marked.csv", model=f"rolling-mean{SUFFIX}")
    (stored,) = run_kit.stored(place / "run", f"rolling-mean{SUFFIX}", "marked")
    np.testing.assert_allclose(found["score"].to_numpy(), stored["prediction"][:, 96:].ravel(), rtol=1e-9)
    assert found["model"].unique().to_list() == [f"rolling-mean{SUFFIX}"]


def test_a_trailing_mean_moved_back_is_a_centred_one():
    x, real = np.random.default_rng(0).normal(size=(2, 60)), np.ones((2, 60), bool)
    real[1, :10] = False
    trailing = rolling_mean(x, 9, real=real)
    centred = rolling_mean(x, 9, centred=True, real=real)
    np.testing.assert_allclose(moved(trailing, 4, real)[:, :56], np.where(real, centred, 0.0)[:, :56])


def test_labels_tune_by_halves_and_the_row_says_so(rows):
    tuned = [row for row in rows if row["tuning"] == "tuned" and base_of(row) == row["model"] and row["model"] not in BLENDS]
    assert tuned
    assert {row["n_test"] for row in rows} == {run_kit.SERIES}, "no row loses an entity"
    for row in tuned:
        assert ("cross-fitted" in row["flags"]) == ("halves" in row["params"])
