import itertools
import json

import numpy as np
import pytest
import run_kit
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from bench.metrics.churn import churn_metrics
from bench.tasks.churn.figures import RECALLS, collect, curves, reliability, thinned, wilson


def sample(n=1000, seed=0, digits=2):
    """Draw predictions with ties, and churn that follows them."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.uniform(0, 1, n), digits)
    return (rng.random(n) < p).astype(np.int8), p


def test_curves_are_those_of_scikit_learn():
    y, p = sample()
    drawn = curves(y, p)
    fpr, tpr, _ = roc_curve(y, p, drop_intermediate=False)
    assert drawn["roc"] == pytest.approx(np.column_stack([fpr, tpr]))
    precision, recall, _ = precision_recall_curve(y, p)
    assert drawn["pr"][::-1] == pytest.approx(np.column_stack([recall, precision])[:-1])
    top = np.sort(p)[::-1][99]  # the gain curve has a point wherever a tie group ends
    chosen = p >= top
    at = np.flatnonzero(np.isclose(drawn["gain"][:, 0], chosen.mean()))
    assert drawn["gain"][at[0], 1] == pytest.approx(y[chosen].sum() / y.sum())


def test_wilson_is_that_of_scipy_and_stays_inside():
    for hits, n in ((0, 5), (5, 5), (3, 40), (999, 1000)):
        known = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits / n, n) == pytest.approx((known.low, known.high), abs=1e-6)


def test_bins_hold_every_user_once_and_equal_predictions_share_one():
    y, p = sample(digits=1)
    bins = reliability(y, p)
    assert sum(b["n"] for b in bins) == len(y)
    assert sum(b["n"] * b["rate"] for b in bins) == pytest.approx(y.sum(), rel=1e-5)
    assert [b["mean"] for b in bins] == sorted(b["mean"] for b in bins)
    (only,) = reliability(y, np.full(len(y), 0.3))
    assert (only["mean"], only["n"]) == (0.3, len(y))
    assert only["low"] < y.mean() < only["high"]


@given(st.integers(2, 2000), st.integers(0, 1000))
def test_thinning_keeps_the_ends_and_never_more_than_asked(n, seed):
    curve = np.cumsum(np.random.default_rng(seed).random((n, 2)), axis=0)
    kept = thinned(curve, 40)
    assert len(kept) <= 40
    assert kept[[0, -1]].tolist() == curve[[0, -1]].tolist()


def test_thinning_loses_no_corner_and_hardly_moves_a_long_curve():
    corners = np.array([[0, 0], [0, 0.4], [0.2, 0.4], [0.2, 0.9], [1, 1]])
    between = np.concatenate([np.linspace(a, b, 50) for a, b in itertools.pairwise(corners)])
    assert thinned(between, 5).tolist() == corners.tolist()
    y, p = sample(20_000, digits=9)
    drawn = curves(y, p)
    for name in ("roc", "gain"):
        whole, few = drawn[name], thinned(drawn[name])
        assert len(few) == 100
        along, off = whole.sum(axis=1), np.diff(whole)[:, 0]  # seen along the diagonal both curves are functions, however steep
        assert np.abs(np.interp(along, few.sum(axis=1), np.diff(few)[:, 0]) - off).max() < 0.01


def test_collected_figures_put_leader_and_reference_first_and_keep_the_area():
    y, p = sample()
    worse = 0.5 * p + 0.5 * np.random.default_rng(1).random(len(p))
    truth = {"2024-01-01": y[:400], "2024-02-01": y}
    made = {"a": p, "b": worse, "reference": np.full(len(p), 0.4), "leader": 0.9 * p}
    predictions = {name: {"2024-01-01": v[:400], "2024-02-01": v} for name, v in made.items()}
    del predictions["b"]["2024-01-01"]
    figure = collect({"2023-12-01": 0.5, "2024-01-01": 0.4, "2024-02-01": 0.5}, truth, predictions, "leader", reference="reference")
    assert list(figure["models"]) == ["leader", "reference", "a", "b"]
    assert figure["models"]["b"]["auc"] == pytest.approx(roc_auc_score(y, worse), abs=1e-5)
    assert [r["cutoff"] for r in figure["models"]["a"]["reliability"]] == ["2024-01-01", "2024-02-01"]
    assert [r["cutoff"] for r in figure["models"]["b"]["reliability"]] == ["2024-02-01"]
    assert figure["base_rate"] == pytest.approx(y.mean())
    exact = churn_metrics(y, worse, 0.5)
    assert figure["models"]["b"]["captured"] == pytest.approx([exact[f"captured_{k}"][0] for k in (5, 10, 20)], abs=1e-5)
    precision, recall, _ = precision_recall_curve(y, worse)
    wanted = [precision[recall >= r][-1] for r in RECALLS]  # recall falls along scikit-learn's curve
    assert figure["models"]["b"]["precision"] == pytest.approx(wanted, abs=1e-5)
    assert len(json.dumps(figure, allow_nan=False)) < 40_000


def test_a_run_leaves_the_figures_of_each_log_with_both_cut_offs():
    place = run_kit.churn()
    every = json.loads((place / "run" / "figures.json").read_text())
    figures = [figure for figure in every if figure["kind"] == "churn"]
    assert [f["dataset"] for f in figures] == ["calm", "wild"]
    for figure in figures:
        assert set(figure["models"]) == {*run_kit.CHURN, "mean-of-3"}
        assert all(len(own["reliability"]) == 2 for own in figure["models"].values())
        logit = figure["models"]["rfm-logit"]
        rows = run_kit.stored(place / "run", "rfm-logit", figure["dataset"])
        assert logit["reliability"][-1]["predicted"] == pytest.approx(rows[0]["prediction"].mean(), rel=1e-5)
        assert [r["cutoff"] for r in figure["rates"]][-1] == figure["test_cutoff"]
        assert {sum(map(sum, own["classes"].values())) for own in figure["models"].values()} == {figure["n"][figure["test_cutoff"]]}
    shown = [figure for figure in every if figure["kind"] == "overview"]
    assert [f["dataset"] for f in shown] == ["calm", "wild"]
    assert [one["what"] for one in shown[0]["cutoffs"]] == ["training", "validation", "validation", "test"]
