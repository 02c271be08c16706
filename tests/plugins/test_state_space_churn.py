"""The hidden Markov model of active and dormant users: against enumeration, closed forms, and data of known parameters."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from bench.api import Array
from bench_plugins import _hmm as hmm
from bench_plugins import _hmm_em as em
from bench_plugins._activity import Activity


def never() -> bool:
    return False


def model_of(rng: np.random.Generator, classes: int) -> hmm.Hmm:
    even = np.ones(classes)
    return hmm.Hmm(rng.uniform(0.2, 3, classes), rng.dirichlet(even), even * rng.uniform(0.05, 0.5), even * rng.uniform(0.05, 0.5))


def paths_of(model: hmm.Hmm, counts: Array, exposure: Array) -> dict[tuple[int, tuple[bool, ...]], float]:
    """Give P(counts, class, states) of every class and every path of states (True is active) from the beginning on."""
    begin = int(np.argmax(exposure > 0))
    found = {}
    for r, path in product(range(len(model.rate)), product([True, False], repeat=len(counts) - begin)):
        chance = model.weight[r] * path[0]
        for here, there in pairwise(path):
            turn = model.leave[r] if here else model.back[r]
            chance *= turn if here != there else 1 - turn
        for n, e, active in zip(counts[begin:], exposure[begin:], path, strict=True):
            if not np.isnan(n):
                chance *= poisson.pmf(n, model.rate[r] * e) if active else n == 0
        found[r, path] = chance
    return found


def draw(model: hmm.Hmm, n: int, periods: int, seed: int) -> tuple[Activity, Array]:
    """Draw users of different ages, and the counts of four further periods [N, 4]."""
    rng = np.random.default_rng(seed)
    own = rng.choice(len(model.rate), size=n, p=model.weight)
    begin = rng.integers(0, periods, n)
    active, counts = np.ones(n, bool), np.zeros((n, periods + 4))
    for k in range(periods + 4):
        turn = rng.random(n)
        moved = np.where(active, turn >= model.leave[own], turn < model.back[own])
        active = np.where(k > begin, moved, active)
        counts[:, k] = rng.poisson(model.rate[own] * active * (k >= begin))
    exposure = (np.arange(periods) >= begin[:, None]).astype(float)
    return Activity(counts[:, :periods], exposure), counts[:, periods:]


TRUE = hmm.Hmm(np.array([0.4, 2.5]), np.array([0.6, 0.4]), np.full(2, 0.1), np.full(2, 0.04))


# ---- recursions


@given(seed=st.integers(0, 10**6), classes=st.integers(1, 3), periods=st.integers(1, 5), holes=st.booleans())
@settings(max_examples=30, deadline=None)
def test_likelihood_and_silence_are_sums_over_all_paths(seed: int, classes: int, periods: int, holes: bool):
    rng = np.random.default_rng(seed)
    model = model_of(rng, classes)
    begin = rng.uniform(0.1, periods, 4)
    exposure = np.clip(begin[:, None] - np.arange(periods)[::-1], 0, 1)
    counts = rng.poisson(0.8, exposure.shape) * (exposure > 0).astype(float)
    if holes:
        counts[rng.random(counts.shape) < 0.3] = np.nan
    seen = Activity(counts, exposure)
    likely, none = hmm.forward(model, seen).log_likelihood, hmm.silent(model, seen, 2)
    for n in range(4):
        past = sum(paths_of(model, counts[n], exposure[n]).values())
        longer = sum(paths_of(model, np.r_[counts[n], 0, 0], np.r_[exposure[n], 1, 1]).values())
        assert np.exp(likely[n]) == pytest.approx(past, rel=1e-9)
        assert none[n] == pytest.approx(longer / past, rel=1e-9)


def test_expected_statistics_are_those_of_all_paths():
    rng = np.random.default_rng(1)
    model = model_of(rng, 2)
    counts, exposure = np.array([[0.0, 2, 0, np.nan, 1]]), np.array([[0.4, 1, 1, 1, 1]])
    seen = Activity(counts, exposure)
    found = em.expected(model, seen, hmm.forward(model, seen), np.array([2.0]))
    chances = paths_of(model, counts[0], exposure[0])
    total = sum(chances.values())
    wanted = {name: np.zeros(2) for name in ("users", "events", "exposure", "stayed", "left", "slept", "returned")}
    for (r, path), chance in chances.items():
        share = 2 * chance / total
        wanted["users"][r] += share
        for n, e, active in zip(counts[0], exposure[0], path, strict=True):
            wanted["events"][r] += share * active * (model.rate[r] * e if np.isnan(n) else n)
            wanted["exposure"][r] += share * active * e
        for here, there in pairwise(path):
            wanted[("stayed" if there else "left") if here else ("returned" if there else "slept")][r] += share
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9)


def test_one_state_is_a_poisson_process():
    """Who never leaves is silent for H with probability e^(-rate H), whatever the past."""
    always = hmm.Hmm(np.array([0.7]), np.ones(1), np.zeros(1), np.zeros(1))
    seen = Activity(np.array([[0.0, 3, 0], [0, 0, 0]]), np.array([[0.5, 1, 1], [0, 0, 0.2]]))
    np.testing.assert_allclose(hmm.silent(always, seen, 4), np.exp(-2.8))


def test_rate_classes_alone_are_a_mixture_of_poissons():
    mixed = hmm.Hmm(np.array([0.2, 1.5]), np.array([0.3, 0.7]), np.zeros(2), np.zeros(2))
    seen = Activity(np.array([[1.0, 0, 2]]), np.array([[0.5, 1, 1]]))
    given_class = mixed.weight * mixed.rate**3 * np.exp(-2.5 * mixed.rate)
    wanted = (given_class * np.exp(-4 * mixed.rate)).sum() / given_class.sum()
    assert hmm.silent(mixed, seen, 4)[0] == pytest.approx(wanted)


def test_who_left_for_good_stays_silent():
    """With no way back, P(no event) = 1 - P(active) + P(active) of leaving or of chance, period by period."""
    gone = hmm.Hmm(np.array([1.2]), np.ones(1), np.array([0.3]), np.zeros(1))
    now = Activity(np.zeros((1, 1)), np.ones((1, 1)))  # begun in the last period, so active
    stay, none = 0.7, np.exp(-1.2)
    assert hmm.silent(gone, now, 2)[0] == pytest.approx(0.3 + stay * none * (0.3 + stay * none))


def test_long_busy_pasts_do_not_underflow():
    seen = Activity(np.full((1, 100), 90.0), np.ones((1, 100)))
    model = hmm.Hmm(np.array([0.01, 0.5]), np.full(2, 0.5), np.full(2, 0.1), np.full(2, 0.1))
    assert np.isfinite(hmm.silent(model, seen, 4)).all()


# ---- EM


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("truncated", [False, True])
def test_em_never_lowers_the_posterior(classes: int, truncated: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(em, "GAIN", -np.inf)
    monkeypatch.setattr(em, "ROUNDS", 60)
    past, after = draw(TRUE, 400, 12, 0)
    late = past.counts[:, -4:].sum(axis=1) + (past.exposure[:, -5] == 0) > 0
    rows = late if truncated else np.ones(400, bool)
    evidence = em.Evidence(past.take(rows), after[rows].sum(axis=1) == 0, 4, truncated)
    _, trace = em.fit(evidence, classes, em.Prior(10.0, 1.0), never)
    assert len(trace) == 60
    assert (np.diff(trace) > -1e-8 * np.abs(trace[0])).all()
    assert trace[-1] > trace[0] + 10


def test_em_finds_the_parameters_of_simulated_users():
    past, after = draw(TRUE, 6000, 16, 1)
    found, _ = em.fit(em.Evidence(past, after.sum(axis=1) == 0, 4, truncated=False), 2, em.Prior(1.0, 1.0), never)
    np.testing.assert_allclose(found.rate, TRUE.rate, rtol=0.1)
    np.testing.assert_allclose(found.weight, TRUE.weight, atol=0.04)
    np.testing.assert_allclose(found.leave, TRUE.leave, rtol=0.15)
    np.testing.assert_allclose(found.back, TRUE.back, rtol=0.3)


def test_em_finds_them_where_only_users_active_of_late_are_seen():
    """Without the condition, what it finds differs: leaving looks rare."""
    past, after = draw(TRUE, 9000, 16, 2)
    late = (past.counts[:, -4:].sum(axis=1) > 0) | (past.exposure[:, -5] == 0)
    rows, silent = past.take(late), (after.sum(axis=1) == 0)[late]
    found, blind = (em.fit(em.Evidence(rows, silent, 4, t), 2, em.Prior(1.0, 1.0), never)[0] for t in (True, False))
    np.testing.assert_allclose(found.leave, TRUE.leave, rtol=0.15)
    np.testing.assert_allclose(found.rate, TRUE.rate, rtol=0.15)
    assert blind.leave[0] < 0.8 * TRUE.leave[0]


def test_probabilities_of_simulated_users_need_no_calibration():
    past, after = draw(TRUE, 6000, 16, 3)
    y = after.sum(axis=1) == 0
    p = hmm.silent(TRUE, past, 4)
    assert np.ptp(p) > 0.5
    for part in np.array_split(np.argsort(p), 6):
        assert y[part].mean() == pytest.approx(p[part].mean(), abs=4 * 0.5 / np.sqrt(len(part)))


def test_told_to_stop_em_ends_after_the_round():
    past, after = draw(TRUE, 50, 8, 4)
    model, trace = em.fit(em.Evidence(past, after.sum(axis=1) == 0, 4, truncated=False), 3, em.Prior(10.0, 1.0), lambda: True)
    assert len(trace) == 1
    assert np.isfinite(hmm.silent(model, past, 4)).all()
