"""The eight churn baselines: what every churn model must keep to, and the published numbers on CDNOW."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from bench.api import FEATURES, STATIC, ChurnTrain, Context, Model
from bench_plugins import bgnbd, churn_floors, gbm, paretonbd, rfm_lightgbm, rfm_logit

MODELS = {m.name: m for module in (churn_floors, rfm_logit, rfm_lightgbm, gbm, bgnbd, paretonbd) for m in module.bench_models()}
LEARNED = ("recency", "frequency", "rfm-logit", "rfm-lightgbm", "gbm")
CTX = Context(horizon=28.0)
all_eight = pytest.mark.parametrize("name", MODELS)


def rows_of(static: np.ndarray, y: np.ndarray, cutoff: float = 10_000.0, group: np.ndarray | None = None) -> ChurnTrain:
    n = len(y)
    group = np.arange(n) if group is None else group
    per_event = dict.fromkeys(("days_before_cutoff", "gap", "kind", "value", "count"), np.zeros(0, np.float32))
    return ChurnTrain(
        offsets=np.zeros(n + 1, np.int64), **per_event, static=static, cutoff=np.full(n, cutoff), group=group, y=y.astype(np.int8)
    )


def simulated(n: int, seed: int) -> ChurnTrain:
    """Users with own rates, some of whom have left; labels follow from recency and frequency."""
    rng = np.random.default_rng(seed)
    tenure = rng.integers(30, 300, n).astype(float)
    until = np.minimum(rng.exponential(1 / rng.gamma(1.0, 0.02, n)), tenure)
    x = rng.poisson(rng.gamma(0.8, 0.08, n) * until).astype(float)
    recency = np.where(x > 0, tenure - np.ceil(until * rng.random(n) ** (1 / np.maximum(x, 1))), tenure)
    static = rng.gamma(2.0, 3.0, (n, len(STATIC)))
    for name, values in {"recency": recency, "tenure": tenure, "n_days": x + 1, "n_events": x + 1 + rng.poisson(x + 1)}.items():
        static[:, STATIC.index(name)] = values
    return rows_of(static, rng.random(n) < 1 / (1 + np.exp(1.2 * x - 0.03 * recency)))


@pytest.fixture(scope="module")
def rows() -> ChurnTrain:
    return simulated(1200, 0)


@pytest.fixture(scope="module")
def others() -> ChurnTrain:
    return simulated(300, 1)


@pytest.fixture(scope="module")
def fitted(rows) -> dict[str, Model]:
    return {name: fit(name, rows) for name in MODELS}


def fit(name: str, rows: ChurnTrain, ctx: Context = CTX) -> Model:
    model = MODELS[name](MODELS[name].default())
    model.fit(rows, ctx)
    return model


@all_eight
def test_the_default_lies_in_the_space(name):
    space, default = MODELS[name].space(), MODELS[name].default()

    assert space.keys() == default.keys()
    assert all(space[key]._contains(space[key].to_internal_repr(default[key])) for key in space)


@all_eight
def test_predictions_are_probabilities_one_for_each_row(name, fitted, others):
    chance = fitted[name].predict(others, CTX)

    assert chance.shape == (len(others),)
    assert np.isfinite(chance).all()
    assert ((chance >= 0) & (chance <= 1)).all()


@all_eight
def test_a_row_alone_gets_the_score_that_it_gets_among_others(name, fitted, others):
    together = fitted[name].predict(others, CTX)

    alone = [fitted[name].predict(others.take(np.array([row])), CTX)[0] for row in range(40)]

    assert alone == pytest.approx(together[:40], rel=1e-13, abs=1e-15)


@all_eight
def test_the_order_of_the_rows_does_not_matter(name, fitted, rows, others):
    order = np.random.default_rng(2).permutation(len(others))

    assert fitted[name].predict(others.take(order), CTX) == pytest.approx(fitted[name].predict(others, CTX)[order], rel=1e-13)
    if MODELS[name].deterministic:
        shuffled = fit(name, rows.take(np.random.default_rng(3).permutation(len(rows))))
        assert shuffled.predict(others, CTX) == pytest.approx(fitted[name].predict(others, CTX), rel=1e-6)


@all_eight
def test_inputs_are_left_as_they_were(name, rows, others):
    for inputs in (rows, others):
        for field in ("static", "cutoff", "group", "y", "offsets"):
            getattr(inputs, field).flags.writeable = False
    before = rows.static.copy(), others.static.copy()

    fit(name, rows).predict(others, CTX)

    assert (rows.static == before[0]).all()
    assert (others.static == before[1]).all()


@all_eight
def test_a_saved_model_predicts_the_same_and_holds_no_pickle(name, fitted, others, tmp_path):
    fitted[name].save(tmp_path)
    again = MODELS[name](MODELS[name].default())
    again.load(tmp_path)

    assert (again.predict(others, CTX) == fitted[name].predict(others, CTX)).all()
    assert {path.suffix for path in tmp_path.iterdir()} <= {".npz", ".txt"}


@all_eight
def test_the_same_seed_gives_the_same_model_and_another_seed_only_where_that_is_declared(name, fitted, rows, others):
    first = fitted[name].predict(others, CTX)

    assert (fit(name, rows).predict(others, CTX) == first).all()
    assert (fit(name, rows, replace(CTX, seed=1)).predict(others, CTX) == first).all() == MODELS[name].deterministic


@pytest.mark.parametrize("name", LEARNED)
def test_learnt_from_shuffled_labels_a_model_ranks_by_chance(name):
    rows = simulated(6000, 4)
    shuffled = replace(rows, y=np.random.default_rng(5).permutation(rows.y))
    train, held_out = shuffled.take(np.arange(3000)), shuffled.take(np.arange(3000, 6000))

    assert roc_auc_score(held_out.y, fit(name, train).predict(held_out, CTX)) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("name", [*LEARNED, "bgnbd", "paretonbd"])
def test_every_model_but_the_base_rate_ranks_better_than_chance(name, fitted, others):
    assert roc_auc_score(others.y, fitted[name].predict(others, CTX)) > 0.65


def awkward(kind: str) -> ChurnTrain:
    rows = simulated(200, 6)
    if kind == "one user":
        return rows.take(np.flatnonzero(rows.column("n_days") > 2)[:1])
    if kind == "constant features":
        return replace(rows, static=np.repeat(rows.static[rows.column("n_days") > 2][:1], 200, axis=0))
    if kind == "all zero but active days":
        return replace(rows, static=np.where(np.arange(len(STATIC)) == STATIC.index("n_days"), 2.0, 0.0) * np.ones((200, 1)))
    return replace(rows, y=np.full(200, kind == "all churned", np.int8))


@all_eight
@pytest.mark.parametrize("kind", ["one user", "all churned", "none churned", "constant features", "all zero but active days"])
def test_awkward_training_rows_are_survived_in_silence(name, kind, others, capfd):
    chance = fit(name, awkward(kind)).predict(others, CTX)

    assert np.isfinite(chance).all()
    assert ((chance >= 0) & (chance <= 1)).all()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("strength", [1e-4, 0.3, 1.0, 100.0])
def test_the_logit_is_that_of_scikit_learn(strength):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(7)
    for rows, columns, slope in ((5, 2, 1.0), (60, 8, 5.0), (900, 12, 0.5)):
        x = rng.normal(size=(rows, columns))
        x[:, 0] = 0  # as a constant column is
        y = (rng.random(rows) < rfm_logit.expit(slope * x.sum(axis=1) - 1)).astype(float)
        y[:2] = 0, 1
        coef, intercept = rfm_logit.newton(x, y, strength)
        oracle = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-10, max_iter=500).fit(x, y)
        assert np.allclose([*coef, intercept], [*oracle.coef_[0], oracle.intercept_[0]], rtol=1e-6, atol=1e-7)
        assert np.allclose(rfm_logit.expit(x @ coef + intercept), oracle.predict_proba(x)[:, 1], rtol=0, atol=1e-8)


def test_the_logit_reaches_an_answer_where_the_classes_do_not_overlap_and_numbers_are_huge():
    x = np.concatenate([np.full((20, 1), -1e3), np.full((20, 1), 1e3)])
    coef, intercept = rfm_logit.newton(x, np.repeat([0.0, 1.0], 20), 1e4)
    assert np.isfinite([*coef, intercept]).all()
    assert rfm_logit.expit(x @ coef + intercept).round(3).tolist() == [0.0] * 20 + [1.0] * 20
    assert rfm_logit.expit(np.array([-1e4, -800.0, 0.0, 800.0])).tolist() == [0.0, 0.0, 0.5, 1.0]


def test_trees_stop_when_told_and_report_their_progress(rows):
    told: list[tuple[int, float]] = []
    ctx = replace(CTX, deadline=0.0, on_report=lambda *what: told.append(what))

    model = fit("rfm-lightgbm", rows, ctx)

    assert model.trees.num_trees() == 1
    assert [step for step, _ in told] == [0]


# ---- CDNOW


def cdnow_rows(log: pl.DataFrame, cutoff: date, horizon: int, eligible: str) -> ChurnTrain:
    """The core's aggregates and labels, written once more in the plainest way."""
    past = log.filter(pl.col("day") <= cutoff).with_columns(ago=(cutoff - pl.col("day")).dt.total_days())
    gap = past.select("user", "day").unique().sort("user", "day").with_columns(pl.col("day").diff().over("user").dt.total_days())
    counts = {name: (pl.col("ago") < part * horizon).sum() for name, part in zip(STATIC[8:], (0.25, 0.5, 1, 2), strict=True)}
    value, ago = pl.col("value"), pl.col("ago")
    table = past.group_by("user").agg(
        recency=ago.min(), tenure=ago.max(), n_events=pl.len(), value_sum=value.sum(), value_mean=value.mean(), **counts
    )
    gaps = gap.group_by("user").agg(n_days=pl.len(), gap_mean=pl.col("day").mean(), gap_std=pl.col("day").std(ddof=0))
    table = table.join(gaps, on="user").fill_null(0).sort("user")
    if eligible == "h":
        table = table.filter(pl.col("recency") < horizon)
    later = log.filter((pl.col("day") > cutoff) & (pl.col("day") <= cutoff + timedelta(days=horizon)))["user"].unique()
    churned = ~table["user"].is_in(later.implode())
    days = float((cutoff - date(1970, 1, 1)).days)
    return rows_of(table.select(STATIC).cast(float).to_numpy(), churned.to_numpy(), days, table["user"].cast(int).to_numpy())


def joined(parts: list[ChurnTrain]) -> ChurnTrain:
    merged = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("static", "cutoff", "group", "y")}
    return replace(parts[0], offsets=np.zeros(len(merged["y"]) + 1, np.int64), **merged)


@pytest.fixture(scope="module")
def cdnow(real: Path) -> pl.DataFrame:
    lines = pl.DataFrame({"line": (real / "cdnow" / "CDNOW_master.txt").read_text().split("\n")})["line"].str.strip_chars()
    parts = lines.filter(lines.str.contains(r"^\d")).str.replace_all(r"\s+", " ").str.split(" ")
    return pl.DataFrame({"user": parts.list.get(0), "day": parts.list.get(1).str.to_date("%Y%m%d"), "value": parts.list.get(3).cast(float)})


PUBLISHED = [  # eligible, model, AUC, log-loss
    ("h", "recency", 0.588, None),
    ("h", "frequency", 0.718, None),
    ("h", "base-rate", 0.5, 0.690),
    ("h", "rfm-logit", 0.7270, 0.604),
    ("ever", "rfm-logit", 0.8399, 0.298),
    ("ever", "paretonbd", 0.8368, 0.303),
]


@pytest.fixture(scope="module")
def rolling(cdnow) -> dict[str, tuple[ChurnTrain, ChurnTrain]]:
    """Training rows at two cut-offs, and the test rows, by eligibility; horizon 91 days."""
    train_at, test_at = (date(1997, 9, 30), date(1997, 12, 30)), date(1998, 3, 31)
    return {e: (joined([cdnow_rows(cdnow, t, 91, e) for t in train_at]), cdnow_rows(cdnow, test_at, 91, e)) for e in ("h", "ever")}


def test_cdnow_has_the_published_number_of_rows_and_churners(rolling):
    assert [len(test) for _, test in rolling.values()] == [3831, 23_570]
    assert [test.y.mean() for _, test in rolling.values()] == pytest.approx([0.539, 0.859], abs=5e-4)


@pytest.mark.parametrize(("eligible", "name", "auc", "loss"), PUBLISHED)
def test_cdnow_gives_the_published_ranking_and_calibration(rolling, eligible, name, auc, loss):
    train, test = rolling[eligible]
    ctx = Context(horizon=91.0)

    chance = fit(name, train, ctx).predict(test, ctx)

    assert roc_auc_score(test.y, chance) == pytest.approx(auc, abs=0.004)
    if loss:
        assert log_loss(test.y, chance) == pytest.approx(loss, abs=0.004)


@pytest.mark.parametrize(("eligible", "at_least", "logit", "loss"), [("h", 0.712, 0.7270, 0.614), ("ever", 0.8389, 0.8399, 0.300)])
def test_trees_reach_the_published_trees_on_cdnow_and_not_more_than_the_logit(rolling, eligible, at_least, logit, loss):
    train, test = rolling[eligible]
    ctx = Context(horizon=91.0)

    chance = fit("rfm-lightgbm", train, ctx).predict(test, ctx)

    assert at_least - 0.004 < roc_auc_score(test.y, chance) < logit + 0.004
    assert log_loss(test.y, chance) < loss + 0.004


def test_a_model_of_leaving_stays_calibrated_where_only_the_recently_active_are_eligible(rolling):
    train, test = rolling["h"]
    ctx = Context(horizon=91.0)

    chance = fit("bgnbd", train, ctx).predict(test, ctx)

    assert log_loss(test.y, chance) < 0.62  # .678 where the likelihood is blind to the selection


def test_contributions_of_the_columns_add_up_to_the_log_odds(rows, others):
    model = fit("gbm", rows)
    parts = model.contributions(others)

    assert parts.shape == (len(others), len(STATIC) + len(FEATURES) + 1)
    chance = model.predict(others, CTX)
    assert parts.sum(axis=1) == pytest.approx(np.log(chance / (1 - chance)), abs=1e-9)
    of = dict(zip(STATIC, np.abs(parts).max(axis=0), strict=False))
    assert of["recency"] > of["value_mean"]  # of no use in these rows


def test_gbm_learns_from_features_what_the_aggregates_do_not_show():
    rng = np.random.default_rng(0)
    late = rng.random(800)
    hidden = rows_of(rng.gamma(2.0, 3.0, (800, len(STATIC))), late + rng.normal(0, 0.1, 800) < 0.5)
    features = np.zeros((800, len(FEATURES)), np.float32)
    features[:, FEATURES.index("share_h4_of_h")] = late
    told = replace(hidden, features=features)
    auc = {name: roc_auc_score(told.y, fit(name, told).predict(told, CTX)) for name in ("gbm", "rfm-logit")}

    assert auc["gbm"] > 0.95
    assert auc["rfm-logit"] < 0.65
