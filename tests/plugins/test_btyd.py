"""BG/NBD and Pareto/NBD: published numbers, the definition integrated numerically, simulated users, extreme pasts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, expit, gammaln, hyp2f1, log_expit
from sklearn.metrics import roc_auc_score

from bench.api import STATIC, ChurnTrain, Context
from bench.errors import PluginError
from bench_plugins import bgnbd, paretonbd
from bench_plugins.btyd import BuyTillYouDie, Summary, maximise

MODULE = {"bgnbd": bgnbd, "paretonbd": paretonbd}
MODEL: dict[str, type[BuyTillYouDie]] = {"bgnbd": bgnbd.BgNbd, "paretonbd": paretonbd.ParetoNbd}
both = pytest.mark.parametrize("name", ["bgnbd", "paretonbd"])


# ---- CDNOW


@dataclass(frozen=True)
class Published:
    fitted: tuple[float, float, float, float]
    total: float
    auc_expected: float
    auc_dead: float


PUBLISHED = {
    ("sample", "bgnbd"): Published((0.243, 4.414, 0.793, 2.426), 1653.4, 0.7725, 0.316),
    ("sample", "paretonbd"): Published((0.553, 10.578, 0.606, 11.668), 1665.5, 0.7787, 0.726),
    ("master", "bgnbd"): Published((0.252, 4.789, 0.723, 2.161), 19_684 * (1 - 0.143), 0.763, 0.320),
    ("master", "paretonbd"): Published((0.598, 11.587, 0.522, 8.826), 19_684 * (1 - 0.129), 0.769, 0.722),
}


def read_cdnow(path: Path) -> pl.DataFrame:
    """One row for each user and active day: the first number that is no sample id, and the date."""
    lines = pl.DataFrame({"line": path.read_text().split("\n")})["line"].str.strip_chars().str.replace_all(r"\s+", " ")
    parts = lines.filter(lines.str.contains(r"^\d")).str.split(" ")
    return pl.DataFrame({"user": parts.list.first(), "day": parts.list.get(-3).str.to_date("%Y%m%d")}).unique()


def summarise(days: pl.DataFrame, cutoff: date, horizon: int) -> tuple[Summary, np.ndarray]:
    """Each user's (x, t_x, T) at the cut-off, and the active days in the horizon after it."""
    day = pl.col("day")
    past = days.filter(day <= cutoff).group_by("user").agg(x=pl.len() - 1, first=day.min(), last=day.max())
    later = days.filter((day > cutoff) & (day <= cutoff + timedelta(days=horizon))).group_by("user").agg(later=pl.len())
    rows = past.join(later, on="user", how="left").sort("user").fill_null(0)
    t_x, age = ((end - rows["first"]).dt.total_days().to_numpy() / 7 for end in (rows["last"], pl.Series([cutoff])))
    return Summary(rows["x"].cast(float).to_numpy(), t_x, age), rows["later"].to_numpy()


@pytest.fixture(scope="module")
def cdnow(real: Path) -> dict[str, pl.DataFrame]:
    return {which: read_cdnow(real / "cdnow" / f"CDNOW_{which}.txt") for which in ("sample", "master")}


@pytest.mark.parametrize(("which", "name"), PUBLISHED)
def test_cdnow_gives_the_published_parameters_forecasts_and_rankings(cdnow, which, name):
    users, later = summarise(cdnow[which], date(1997, 9, 30), 273)
    module, published = MODULE[name], PUBLISHED[which, name]

    fitted = maximise(module.log_likelihood, MODEL[name].start(users), users)
    expected = module.expected(fitted, users, 39.0)

    assert fitted == pytest.approx(published.fitted, rel=0.01)
    assert expected.sum() == pytest.approx(published.total, rel=1e-4 if which == "sample" else 1e-3)
    assert roc_auc_score(later == 0, -expected) == pytest.approx(published.auc_expected, abs=6e-4)
    assert roc_auc_score(later == 0, 1 - module.alive(fitted, users)) == pytest.approx(published.auc_dead, abs=6e-4)


@pytest.mark.parametrize(("name", "auc", "auc_expected"), [("bgnbd", 0.829, 0.834), ("paretonbd", 0.8368, None)])
def test_rolling_churn_on_cdnow_reaches_the_published_ranking(cdnow, name, auc, auc_expected):
    at_fit, _ = summarise(cdnow["master"], date(1997, 12, 30), 91)
    users, later = summarise(cdnow["master"], date(1998, 3, 31), 91)

    model = MODEL[name]({})
    model.fit(rows_of(at_fit), Context(horizon=91))

    assert roc_auc_score(later == 0, model.predict(rows_of(users), Context(horizon=91))) == pytest.approx(auc, abs=0.004)
    if auc_expected:
        fitted = tuple(model.state.values())
        assert roc_auc_score(later == 0, -MODULE[name].expected(fitted, users, 13.0)) == pytest.approx(auc_expected, abs=0.004)


# ---- the definition


def grid(fitted: tuple[float, ...], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rates [K, 1], leaving (a rate or a probability) [1, K], and the mass of their mixing distribution [K, K]."""
    r, alpha, c, d = fitted
    step = 0.2
    t = np.arange(-60, 8, step)
    first = np.exp(r * (t + np.log(alpha)) - alpha * np.exp(t) - gammaln(r))
    if name == "paretonbd":
        return np.exp(t)[:, None], np.exp(t)[None], np.outer(first, np.exp(c * (t + np.log(d)) - d * np.exp(t) - gammaln(c))) * step**2
    t2 = np.arange(-60, 60, step)
    return np.exp(t)[:, None], expit(t2)[None], np.outer(first, np.exp(c * log_expit(t2) + d * log_expit(-t2) - betaln(c, d))) * step**2


def defined(fitted, name, x, t_x, age, horizon) -> dict[str, float]:
    """Likelihood, P(alive), P(no purchase) and E[purchases] of one user, straight from the model's definition."""
    rate, leave, mass = grid(fitted, name)
    both_rates = rate + leave
    if name == "paretonbd":
        alive = rate**x * np.exp(-both_rates * age)
        gone = rate**x * leave / both_rates * (np.exp(-both_rates * t_x) - np.exp(-both_rates * age))
        silent = (leave + rate * np.exp(-both_rates * horizon)) / both_rates
        later = rate / leave * -np.expm1(-leave * horizon)
        started = np.exp(-leave * age)
    else:
        alive = ((1 - leave) * rate) ** x * np.exp(-rate * age)
        gone = leave * (1 - leave) ** (x - 1) * rate**x * np.exp(-rate * t_x) if x else np.zeros_like(alive)
        silent = np.exp(-rate * horizon) * np.ones_like(leave)
        later = -np.expm1(-rate * leave * horizon) / leave
        started = np.exp(-rate * leave * age)
    seen = ((alive + gone) * mass).sum()
    return {
        "likelihood": seen,
        "alive": (alive * mass).sum() / seen,
        "no_purchase": ((alive * silent + gone) * mass).sum() / seen,
        "expected": (alive * later * mass).sum() / seen,
        "active": (started * (1 - silent) * mass).sum(),
    }


@both
@settings(max_examples=10, deadline=None)
@given(
    fitted=st.tuples(st.floats(0.5, 3), st.floats(0.5, 20), st.floats(0.5, 3), st.floats(0.5, 20)),
    x=st.integers(0, 12),
    age=st.floats(0, 60),
    share=st.floats(0, 1),
    horizon=st.floats(0.5, 40),
)
def test_each_formula_equals_the_integral_of_its_definition(name, fitted, x, age, share, horizon):
    module, t_x = MODULE[name], share * age if x else 0.0
    user = Summary(np.array([float(x)]), np.array([t_x]), np.array([age]))

    expected = defined(fitted, name, x, t_x, age, horizon)

    # the integral starts with neither factorials nor a choice of the days: the formulas leave them out too
    assert np.exp(module.log_likelihood(fitted, user)) == pytest.approx(expected["likelihood"], rel=1e-6)
    assert module.alive(fitted, user) == pytest.approx(expected["alive"], rel=1e-6)
    assert module.no_purchase(fitted, user, horizon) == pytest.approx(expected["no_purchase"], rel=1e-6)
    assert module.expected(fitted, user, horizon) == pytest.approx(expected["expected"], rel=1e-5, abs=1e-9)
    assert module.active(fitted, user.T, horizon) == pytest.approx(expected["active"], rel=1e-5)


@both
def test_expectation_has_no_gap_where_the_leaving_parameter_is_one(name):
    module, user = MODULE[name], Summary(np.array([0.0, 3.0]), np.array([0.0, 10.0]), np.array([20.0, 20.0]))

    at, near = (module.expected((0.5, 5.0, c, 4.0), user, 13.0) for c in (1.0, 1.0001))

    assert at == pytest.approx(near, rel=1e-3)


def test_the_continued_fraction_equals_the_library_function_where_that_is_exact():
    rng = np.random.default_rng(0)
    b, z = rng.uniform(0.1, 20, 500), rng.uniform(0, 0.9, 500)
    c = b + rng.uniform(0.05, 20, 500) + 1

    assert paretonbd.hyp2f1_from_one(b, c, z) == pytest.approx(hyp2f1(1, b, c, z), rel=1e-10)


@pytest.mark.parametrize("x", [0.0, 3.0, 200.0, 5000.0])
@pytest.mark.parametrize("z", [0.99, 0.9999])
def test_the_continued_fraction_holds_near_one_where_the_library_function_does_not(x, z):
    b, s = 0.4 + x, 1.0 + 1e-9
    n = np.arange(400_000)
    terms = np.exp(np.cumsum(np.log((b + n) / (b + s + 1 + n) * z)))  # the power series; the last term is below 1e-17

    assert paretonbd.hyp2f1_from_one(b, b + s + 1, z) == pytest.approx(1 + terms.sum(), rel=1e-9)


# ---- properties of the predictions


@both
def test_extreme_and_empty_pasts_get_finite_probabilities(name):
    x = np.array([0.0, 0.0, 1.0, 1.0, 1000.0, 1000.0, 5000.0, 5000.0])
    t_x = np.array([0.0, 0.0, 0.0, 0.01, 1.0, 400.0, 400.0, 0.01])
    users = Summary(x, t_x, np.array([0.0, 500.0, 0.0, 500.0, 500.0, 400.0, 400.5, 900.0]))
    for fitted in [(0.24, 4.4, 0.79, 2.4), (30.0, 0.1, 0.01, 90.0), (0.01, 90.0, 30.0, 0.1), (1.0, 1.0, 1.0, 1.0)]:
        for horizon in (0.0, 1.0, 13.0, 1000.0):
            chance = MODULE[name].no_purchase(fitted, users, horizon)
            assert np.isfinite(chance).all()
            assert ((chance >= -1e-12) & (chance <= 1 + 1e-12)).all()
            assert np.isfinite(MODULE[name].expected(fitted, users, horizon)).all()
        assert np.isfinite(MODULE[name].log_likelihood(fitted, users)).all()
    assert MODULE[name].no_purchase((0.24, 4.4, 0.79, 2.4), users, 0.0) == pytest.approx(1.0)


@both
def test_silence_grows_less_likely_with_a_longer_horizon_and_a_later_last_purchase(name):
    module, fitted = MODULE[name], (0.6, 10.0, 0.6, 9.0)
    last = np.linspace(0, 50, 40)
    users = Summary(np.full(40, 4.0), last, np.full(40, 50.0))

    by_horizon = np.stack([module.no_purchase(fitted, users, h) for h in (1.0, 4.0, 13.0, 52.0)])

    assert (np.diff(by_horizon, axis=0) < 0).all()
    assert (np.diff(by_horizon, axis=1) < 0).all()
    assert (np.diff(module.alive(fitted, users)) > 0).all()


# ---- simulated users


def simulate(name: str, fitted: tuple[float, ...], n: int, seed: int) -> Summary:
    r, alpha, c, d = fitted
    rng = np.random.default_rng(seed)
    rate, age = rng.gamma(r, 1 / alpha, n), rng.integers(180, 360, n) / 7
    if name == "paretonbd":
        until = np.minimum(rng.exponential(1 / rng.gamma(c, 1 / d, n)), age)
        x = rng.poisson(rate * until).astype(float)
        return Summary(x, np.where(x > 0, until * rng.random(n) ** (1 / np.maximum(x, 1)), 0), age)
    leave, x, t_x, here = rng.beta(c, d, n), np.zeros(n), np.zeros(n), np.arange(n)
    while len(here):
        then = t_x[here] + rng.exponential(1 / rate[here])
        here, then = here[then <= age[here]], then[then <= age[here]]
        x[here], t_x[here] = x[here] + 1, then
        here = here[rng.random(len(here)) >= leave[here]]
    return Summary(x, t_x, age)


def rows_of(users: Summary) -> ChurnTrain:
    """The summary as the core would hand it over."""
    n = len(users.x)
    static = np.zeros((n, len(STATIC)))
    columns = {"recency": np.where(users.x > 0, users.T - users.t_x, users.T) * 7, "tenure": users.T * 7, "n_days": users.x + 1}
    for column, values in columns.items():
        static[:, STATIC.index(column)] = values
    none = np.zeros(0, np.float32)
    per_event = dict.fromkeys(("days_before_cutoff", "gap", "kind", "value", "count"), none)
    offsets, cutoff, y = np.zeros(n + 1, np.int64), np.full(n, 10_000.0), np.zeros(n, np.int8)
    return ChurnTrain(offsets=offsets, **per_event, static=static, cutoff=cutoff, group=np.arange(n), y=y)


TRUE = {"bgnbd": (0.6, 5.0, 0.8, 2.5), "paretonbd": (0.8, 5.0, 0.6, 9.0)}


@both
def test_a_fit_recovers_the_parameters_that_users_were_simulated_with(name):
    model = MODEL[name]({})

    model.fit(rows_of(simulate(name, TRUE[name], 20_000, 0)), Context())

    assert tuple(model.state.values()) == pytest.approx(TRUE[name], rel=0.12)


@both
def test_a_fit_to_the_recently_active_alone_recovers_them_too(name):
    users = simulate(name, TRUE[name], 12_000, 1)
    recent = users.take((users.T - users.t_x) * 7 < 91)
    model, horizon = MODEL[name]({}), 13.0

    model.fit(rows_of(recent), Context(horizon=91))

    naive = maximise(model.log_likelihood, model.start(recent), recent)
    fitted = tuple(model.state.values())
    truth, ours, theirs = (MODULE[name].no_purchase(p, recent, horizon).mean() for p in (TRUE[name], fitted, naive))
    assert ours == pytest.approx(truth, abs=0.03)
    assert theirs < truth - 0.05


@both
def test_only_the_latest_cutoff_is_read_and_no_label(name):
    rows = rows_of(simulate(name, TRUE[name], 500, 2))
    older, flipped = rows_of(simulate(name, (3.0, 1.0, 0.1, 9.0), 500, 3)), np.ones(500, np.int8)
    older.cutoff[:] -= 91
    joined = {f: np.concatenate([getattr(rows, f), getattr(older, f)]) for f in ("static", "cutoff", "group")}
    per_event = {f: getattr(rows, f) for f in ("days_before_cutoff", "gap", "kind", "value", "count")}
    mixed = ChurnTrain(offsets=np.zeros(1001, np.int64), **per_event, **joined, y=np.concatenate([flipped, flipped]))

    alone, among = MODEL[name]({}), MODEL[name]({})
    alone.fit(rows, Context())
    among.fit(mixed, Context())

    assert alone.state == among.state


@both
def test_users_who_never_came_back_are_refused_with_the_reason(name):
    never = Summary(np.zeros(50), np.zeros(50), np.linspace(1, 50, 50))

    with pytest.raises(PluginError, match="none of 50 users was active on a second day"):
        MODEL[name]({}).fit(rows_of(never), Context())


def test_a_likelihood_without_a_maximum_is_refused_with_the_optimisers_words():
    users = simulate("bgnbd", TRUE["bgnbd"], 100, 4)

    with pytest.raises(PluginError, match="100 users has no maximum"):
        maximise(lambda _, those: np.full(len(those.x), np.nan), np.ones(4), users)


def test_several_visits_on_the_only_active_day_are_no_repeat_purchase():
    rows = rows_of(Summary(np.zeros(1), np.zeros(1), np.array([3.0])))
    rows.static[0, STATIC.index("recency")] = 20.5  # half a day after the first visit

    users = Summary.of(rows.static)

    assert (users.x[0], users.t_x[0]) == (0, 0)


@both
def test_everyone_first_seen_is_fitted_to_where_the_core_tells_of_them_whoever_is_eligible(name):
    users = simulate(name, TRUE[name], 20_000, 5)
    recent = rows_of(users.take((users.T - users.t_x) * 7 < 91))
    model = MODEL[name]({})

    model.fit(replace(recent, everyone=rows_of(users).static), Context(horizon=91))

    assert tuple(model.state.values()) == pytest.approx(TRUE[name], rel=0.12)
