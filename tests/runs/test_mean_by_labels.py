"""The mean of three that labels choose: those of one half of the entities for the other, and never for themselves."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import run_kit

from bench.board import Board
from bench.execute.prediction_files import read_prediction
from bench.runs import write_results
from bench.runs.ensemble import FEW, FLOOR, NAME, Blend, blended, members_of
from bench.runs.predict import predict
from bench.tasks.base import SECOND, TUNED, weighted

MODELS = ["random", "abs-median", "rolling-variance", "rolling-mean", "seasonal-residual", "sub-pca"]


@pytest.fixture(scope="module")
def caught(tmp_path_factory):
    """Give what a run on labelled series combined: the board, its models' outcomes, the task and the run's folder."""
    found, marked, out = [], run_kit.anomaly() / "marked.csv", tmp_path_factory.mktemp("labels") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_results, "blended", lambda *of: (found.append(of), blended(*of))[1])
        options = {"buffer": 14, "smooth": 3, "prefix": 0.4}
        run_kit.run("anomaly", out, datasets=[f"series={marked}"], models=MODELS, options=options)
    ((*of,),) = found
    return of


def by_labels(caught, labels=None) -> Blend:
    """Combine again, with other labels in the search where some are given; return the row by the labels."""
    problem, outcomes, task, folder = caught
    if labels is not None:
        search = problem.split.truths["search"]
        other = replace(search, labelled=replace(search.labelled, labels=labels))
        problem = replace(problem, split=replace(problem.split, truths={**problem.split.truths, "search": other}))
    (row,) = [one for one in blended(problem, outcomes, task, folder) if one.row["tuning"] == TUNED]
    return row


def test_each_half_is_scored_by_the_mean_of_the_three_that_the_other_halfs_labels_and_the_injections_like_best(caught):
    problem, outcomes, task, folder = caught
    made = by_labels(caught)
    half = problem.split.truths["final"].half
    for chosen_by, rows in ((TUNED, ~half), (SECOND, half)):
        scores = {}
        for name, outcome in outcomes.items():
            entry = outcome.valid if outcome.second is None else outcome.second if chosen_by == SECOND else outcome.best[TUNED]
            kept = read_prediction(folder / "valid" / f"{entry['validations']['search']}.npz")
            told = task.objectives(problem.split, "search", task.blendable(problem.split, "search", kept))
            scores[name] = told["label-free"][0].value + told[chosen_by][0].value
        few = sorted(scores, key=lambda name: (-scores[name], name))[:FEW]
        members = {m.model: m for m in members_of(outcomes, folder, task, problem.split, (), chosen_by)}
        finals = [
            read_prediction(folder / (members[m].finals[0]["prediction"] or f"predictions/{members[m].finals[0]['key']}.npz")) for m in few
        ]
        (mean,) = weighted([(task.blendable(problem.split, "final", one), 1 / FEW) for one in finals])
        np.testing.assert_allclose(made.prediction[0]["prediction"][rows], mean["prediction"][rows], rtol=1e-9)


def as_one_detector_has_it(caught, name: str) -> np.ndarray:
    """Label what a detector scores highest after each prefix, bool [N, T']: by these labels it is perfect."""
    problem, outcomes, _, folder = caught
    truth = problem.split.truths["search"].labelled
    score = read_prediction(folder / "valid" / f"{outcomes[name].valid['validations']['search']}.npz")[-1]["prediction"]
    after = truth.mask & (np.arange(score.shape[1]) >= truth.end[:, None])
    limit = np.array([np.quantile(row[scored], 0.9) for row, scored in zip(score, after, strict=True)])
    return after & (score > limit[:, None])


@pytest.mark.parametrize("which", ["first", "second"])
def test_the_labels_of_a_half_change_nothing_of_what_it_is_itself_scored_by(caught, which):
    """They are made those by which another detector is perfect: it is chosen by them, for the other half alone."""
    search, made = caught[0].split.truths["search"], by_labels(caught)
    half = search.half if which == "first" else ~search.half
    other = "abs-median"
    assert other not in json.loads(made.row["params"])
    told = by_labels(caught, np.where(half[:, None], as_one_detector_has_it(caught, other), search.labelled.labels))
    weights = json.loads(told.row["params"])
    assert weights[other] == pytest.approx(1 / FEW / 2), "one half of two took it"
    assert "cross-fitted" in told.row["flags"]
    before, after = (one.prediction[0]["prediction"] for one in (made, told))
    np.testing.assert_array_equal(after[half], before[half])
    assert (after[~half] != before[~half]).any(axis=1).all()


def test_it_ranks_in_the_place_of_the_mean_that_no_label_chose_which_keeps_its_row(caught):
    rows = [row for row in Board.read(caught[3]).rows if row["model"] == FLOOR]
    tuned, free = (next(row for row in rows if row["tuning"] == tuning) for tuning in (TUNED, "label-free"))
    assert tuned["rank"] is not None
    assert free["rank"] is None
    assert sum(json.loads(tuned["params"]).values()) == pytest.approx(1)
    files = pl.read_parquet(caught[3] / "predictions.parquet").filter(model=FLOOR)
    assert files["file"].n_unique() == 2
    for table in ("details", "intervals"):
        shown = pl.read_parquet(caught[3] / f"{table}.parquet").filter(model=FLOOR)
        assert shown["tuning"].unique().to_list() == [TUNED], "pages show what stands for the name"
    assert NAME not in {row["model"] for row in rows}


def test_new_data_is_scored_by_the_members_that_either_half_chose(caught):
    _, outcomes, _, folder = caught
    weights = json.loads(by_labels(caught).row["params"])
    found = predict(folder, run_kit.anomaly() / "marked.csv", model=FLOOR)
    assert set(weights) <= set(outcomes)
    assert np.isfinite(found["score"].to_numpy()).all()
    assert found["model"].unique().to_list() == [FLOOR]


def test_without_labels_that_tune_there_is_no_such_row(caught):
    problem, outcomes, task, folder = caught
    alone = {name: replace(outcome, second=None) for name, outcome in outcomes.items()}
    assert {one.row["tuning"] for one in blended(problem, alone, task, folder)} <= {"label-free", "default"}
