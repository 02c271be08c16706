import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.errors import ProtocolError
from bench.tasks.anomaly.inject import CHANGES, NEAR, apply, detection, oracle, usual
from bench.tasks.anomaly.injection_plan import (
    RATE,
    SCORING,
    SHARED,
    STEERING,
    STRENGTHS,
    TAKEOVER,
    Incident,
    InjectionRecipe,
    labels,
    manifest,
    plan,
    user_labels,
    with_strength,
)

few = settings(max_examples=40, deadline=None)  # seconds on a busy machine


def drawn(n=40, t=300, *, seed=0, rate=2.0, whole=True):
    """Draw a panel of heterogeneous users with a week: (values [N, T], mask, until, keys)."""
    rng = np.random.default_rng(seed)
    week = np.array([1, 1, 1, 1, 1.3, 1.5, 0.4])[np.arange(t) % 7]
    values = rng.poisson(rng.gamma(0.7, rate / 0.7, (n, 1)) * week).astype(float)
    values = values if whole else values + rng.normal(0, 0.3, values.shape)
    return values, np.ones((n, t), bool), np.full(n, t // 2), rng.permutation(10**4)[:n].astype(np.uint64)


def planned(panel, recipe=SCORING, *, season=7, seed=0):
    values, _, until, keys = panel
    return plan(keys, until, np.full(len(values), values.shape[1]), recipe, season=season, seed=seed)


@st.composite
def grounds(draw):
    """Draw (keys, lo, hi, season, seed, recipe) of ragged panels with room for anomalies."""
    n = draw(st.integers(6, 60))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    season = draw(st.sampled_from([1, 7, 12, 24]))
    lo = rng.integers(0, 60, n)
    hi = lo + rng.integers(40, 400, n)
    return (
        rng.permutation(10**4)[:n] * 99_991,
        lo,
        hi,
        season,
        draw(st.integers(0, 2**40)),
        draw(st.sampled_from([SCORING, STEERING, TAKEOVER])),
    )


@few
@given(grounds())
def test_a_plan_keeps_its_promises_on_any_ground(case):
    keys, lo, hi, season, seed, recipe = case
    found = plan(keys, lo, hi, recipe, season=season, seed=seed)
    n, anomalies = len(keys), [i for i in found if not i.decoy]
    assert anomalies
    assert labels(found, (n, int(hi.max()))).sum() == sum(i.end - i.begin for i in anomalies) <= RATE * (hi - lo).sum()
    assert user_labels(found, n).sum() == len({i.entity for i in anomalies}) <= n // 2
    assert all(lo[i.entity] <= i.begin < i.end <= hi[i.entity] for i in found)
    for before, after in pairwise(found):
        assert before.entity < after.entity or (before.entity == after.entity and after.begin - before.end >= season)
    assert {i.kind for i in anomalies} <= set(recipe.kinds)
    assert sum(i.kind == "rise" for i in found) <= len(anomalies)
    assert sum(i.kind in SHARED for i in found) <= len(SHARED) * n


@few
@given(grounds(), st.randoms(use_true_random=False))
def test_a_plan_follows_the_entities_whatever_their_order(case, random):
    keys, lo, hi, season, seed, recipe = case
    order = list(range(len(keys)))
    random.shuffle(order)
    shuffled = plan(keys[order], lo[order], hi[order], recipe, season=season, seed=seed)
    back = sorted((replace(i, entity=order[i.entity]) for i in shuffled), key=lambda i: (i.entity, i.begin))
    assert back == plan(keys, lo, hi, recipe, season=season, seed=seed)


def test_the_same_seed_gives_the_same_plan_and_another_seed_another():
    panel = drawn()
    assert planned(panel, seed=5) == planned(panel, seed=5)
    first, second = ({(i.entity, i.begin, i.kind) for i in planned(panel, seed=s) if not i.decoy} for s in (5, 6))
    assert len(first & second) <= 1


def test_steering_scoring_and_splicing_share_no_kind_and_no_draw():
    recipes = (STEERING, SCORING, TAKEOVER)
    assert len({k for r in recipes for k in r.kinds}) == sum(len(r.kinds) for r in recipes)
    plans = [planned(drawn(200), replace(r, kinds=("spike",), strengths=(1.0,))) for r in recipes]
    places = [{(i.entity, i.begin) for i in p if not i.decoy} for p in plans]
    assert all(places)
    assert max(len(a & b) for k, a in enumerate(places) for b in places[:k]) <= 5  # of about 100: as chance has it


@pytest.mark.parametrize("recipe", [SCORING, STEERING, TAKEOVER, InjectionRecipe(tuple("abcdef"), 4, (1.0, 2.0, 3.0, 4.0))])
def test_kinds_and_strengths_take_turns_so_that_each_pair_is_as_frequent(recipe):
    found = Counter((i.kind, i.strength) for i in planned(drawn(3000, 200), recipe) if not i.decoy)
    assert len(found) == len(recipe.kinds) * len(recipe.strengths)
    assert max(found.values()) - min(found.values()) <= 1


def test_anomalies_fall_on_every_open_step_alike_but_at_the_edges():
    panel = drawn(60, 400)
    counts = sum(labels(planned(panel, seed=s), (60, 400)).sum(axis=0) for s in range(200))
    middle = counts[230:370]
    assert counts[:200].sum() == 0
    assert abs(middle.reshape(2, -1).sum(axis=1) / middle.sum() - 0.5).max() < 0.02
    assert abs(middle / middle.mean() - 1).max() < 0.5


def test_a_shared_decoy_meets_all_entities_at_one_step_but_those_with_an_incident_nearby():
    found = planned(drawn(200))
    for kind in SHARED:
        shared = [i for i in found if i.kind == kind]
        assert len({i.begin for i in shared}) == 1
        assert len(shared) > 150
        assert all(i.decoy and i.end - i.begin == 1 for i in shared)


def test_too_few_entities_or_steps_are_refused_in_one_line():
    for n, lo, hi in ((1, 0, 1000), (40, 0, 3), (0, 0, 0), (2, 10, 10)):
        with pytest.raises(ProtocolError, match=f"no room for anomalies: {n} entities") as caught:
            plan(np.arange(n), np.full(n, lo), np.full(n, hi), SCORING, season=7, seed=0)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="different keys"):
        plan(np.zeros(40), np.zeros(40, int), np.full(40, 200), SCORING, season=7, seed=0)


def test_the_manifest_is_json_and_tells_all_with_names():
    found = planned(drawn())
    names = [f"user {n}" for n in range(40)]
    rows = json.loads(json.dumps(manifest(found, names)))
    assert [Incident(**row | {"entity": names.index(row["entity"]), "donor": -1}) for row in rows] == found
    assert manifest([Incident(0, 1, 2, "takeover", 1.0, donor=3)], names)[0]["donor"] == "user 3"


@pytest.mark.parametrize("recipe", [SCORING, STEERING])
@few
@given(st.integers(0, 999), st.booleans())
def test_strength_zero_changes_nothing_while_labels_stay(recipe, seed, whole):
    panel = values, mask, until, _ = drawn(20, seed=seed, whole=whole)
    found = planned(panel, recipe, seed=seed)
    none = with_strength(found, 0.0)
    assert np.array_equal(apply(values, mask, until, none, counts=whole), values)
    assert np.array_equal(labels(none, values.shape), labels(found, values.shape))
    assert labels(none, values.shape).any()


@pytest.mark.parametrize("recipe", [SCORING, STEERING])
@few
@given(st.integers(0, 999), st.booleans(), st.sampled_from(STRENGTHS))
def test_only_steps_of_incidents_change_and_counts_stay_counts(recipe, seed, whole, strength):
    panel = values, mask, until, _ = drawn(20, seed=seed, whole=whole)
    found = with_strength(planned(panel, recipe, seed=seed), strength)
    before = values.copy()
    after = apply(values, mask, until, found, counts=whole)
    touched = labels([replace(i, decoy=False) for i in found], values.shape)
    assert np.array_equal(values, before)
    assert np.array_equal(after[~touched], values[~touched])
    assert (after != values)[touched].any()
    assert np.isfinite(after).all()
    if whole:
        assert (after >= 0).all()
        assert np.array_equal(after, np.round(after))


@few
@given(st.integers(0, 999))
def test_a_row_is_changed_alike_whatever_stands_beside_it(seed):
    panel = values, mask, until, _ = drawn(20, seed=seed)
    found = planned(panel, seed=seed)
    together = apply(values, mask, until, found, counts=True)
    for n in {i.entity for i in found}:
        alone = [replace(i, entity=0) for i in found if i.entity == n]
        assert np.array_equal(apply(values[n : n + 1], mask[n : n + 1], until[n : n + 1], alone, counts=True)[0], together[n])


def one(kind, strength, *, values, length=14, counts=True, seed=1):
    """Inject one incident at step 100 of one series; (before, after), [length] each."""
    n = np.array([100])
    after = apply(
        values[None], np.ones((1, len(values)), bool), n, [Incident(0, 100, 100 + length, kind, strength, seed=seed)], counts=counts
    )
    return values[100 : 100 + length], after[0, 100 : 100 + length]


STEADY = np.random.default_rng(3).normal(50, 2, 200)


@pytest.mark.parametrize(
    ("kind", "mean"),
    [
        ("spike", 2),
        ("shift", 2),
        ("brushing", 2),
        ("ramp", 2 * 15 / 14),
        ("review-bombing", 6 * 2 * (1 - 0.5**14) / 14),
        ("rise", 2),
        ("promotion", 2),
    ],
)
def test_a_rise_of_strength_two_adds_two_spreads_a_step_on_average(kind, mean):
    _, spread = usual(STEADY[None], np.ones((1, 200), bool), np.array([100]), counts=True)
    before, after = one(kind, 2.0, values=STEADY)
    assert (after - before).mean() == pytest.approx(mean * spread[0])


def test_a_drop_leaves_counts_a_fraction_and_lowers_other_values():
    before, after = one("drop", 1.0, values=STEADY)
    assert after == pytest.approx(before / 2)
    _, spread = usual(STEADY[None], np.ones((1, 200), bool), np.array([100]), counts=False)
    before, after = one("drop", 1.0, values=STEADY - 50, counts=False)
    assert after == pytest.approx(before - spread[0])


def test_a_strong_bot_is_the_same_count_at_equal_gaps_and_nothing_between():
    values = np.random.default_rng(0).poisson(5, 200).astype(float)
    _, after = one("bot", 1e6, values=values, length=28)
    steps = np.flatnonzero(after)
    assert len(set(np.diff(steps))) == 1
    assert len(set(after[steps])) == 1
    assert (after == 0).any()


def test_a_weak_bot_of_a_sparse_user_is_one_event_now_and_then():
    values = np.zeros(200)
    values[[10, 50, 90]] = 1
    _, after = one("bot", 0.25, values=values, length=50)
    assert set(after) == {0, 1}
    assert len(set(np.diff(np.flatnonzero(after)))) == 1


def test_a_burst_of_fake_orders_swells_and_fades():
    before, after = one("brushing", 4.0, values=STEADY, length=21)
    bell = after - before
    assert bell.argmax() == 10
    assert bell == pytest.approx(bell[::-1])


def test_noise_widens_and_flat_stills():
    before, loud = one("noise", 4.0, values=STEADY, length=90)
    _, still = one("flat", 4.0, values=STEADY, length=90)
    assert loud.std() > 3 * before.std()
    assert still.std() == pytest.approx(before.std() / 5)


@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_rounding_to_whole_numbers_keeps_the_mean_change(kind):
    values = np.random.default_rng(1).poisson(20, 200).astype(float)
    exact = values + np.where(np.arange(200) == 199, 0.5, 0.0)  # one fraction outside: the row is no longer whole
    whole, real = (np.mean([np.diff(one(kind, 0.3, values=v, length=40, seed=s), axis=0) for s in range(300)]) for v in (values, exact))
    assert whole == pytest.approx(real, abs=0.12)


def test_level_and_spread_come_from_observed_steps_of_the_prefix_alone():
    values = np.array([[1.0, 2, 3, 4, 1000, 5, 99, 99], [0, 0, 0, 0, 0, 3, 7, 7], [2, 2, 2, 2, 2, 2, 9, 9], [0, 0, 0, 0, 0, 0, 1, 1]])
    mask = np.ones(values.shape, bool)
    mask[0, 4] = mask[3, :6] = False
    until = np.full(4, 6)
    level, spread = usual(values, mask, until, counts=False)
    assert level == pytest.approx([3, 0.5, 2, 0])
    assert spread == pytest.approx([1.4826, np.std([0, 0, 0, 0, 0, 3]), 1, 1])
    assert usual(values, mask, until, counts=True)[1].min() == 1
    values[:, 6:] = -1e9
    assert np.array_equal(usual(values, mask, until, counts=False), (level, spread))


def test_an_incident_in_a_prefix_or_upon_another_is_refused():
    values, mask, until, _ = drawn(5)
    for begin, end in ((149, 152), (299, 301), (200, 200)):
        with pytest.raises(ValueError, match="behind its prefix"):
            apply(values, mask, until, [Incident(0, begin, end, "spike", 1.0)], counts=True)
    with pytest.raises(ValueError, match="overlap"):
        apply(values, mask, until, [Incident(0, 160, 165, "spike", 1.0), Incident(0, 164, 166, "drop", 1.0)], counts=True)


def test_a_gap_repeats_the_new_value_and_other_gaps_stay():
    values, mask, until, _ = drawn(1)
    mask[0, [161, 162, 200]] = False
    values[0, 161:163], values[0, 200] = values[0, 160], values[0, 199]
    after = apply(values, mask, until, [Incident(0, 160, 161, "spike", 4.0)], counts=True)
    assert after[0, 160] > values[0, 160]
    assert (after[0, 161:163] == after[0, 160]).all()
    assert np.array_equal(np.delete(after[0], [160, 161, 162]), np.delete(values[0], [160, 161, 162]))


def ranked(values, until):
    """Score by |value - prefix median| as ranks against the entity's own prefix, float [N, T]."""
    score = np.abs(values - np.median(values[:, : until[0]], axis=1, keepdims=True))
    return np.stack([np.searchsorted(np.sort(s[: until[0]]), s) for s in score]) + score / (1 + score)


@pytest.mark.parametrize("recipe", [SCORING, STEERING])
def test_at_strength_zero_a_detector_is_at_chance_and_it_rises_with_strength(recipe):
    panel = values, mask, until, _ = drawn(150, rate=4.0)
    scores = {s: [] for s in (0.0, 0.5, 4.0)}
    for strength, found in scores.items():
        for seed in range(12):
            incidents = with_strength(planned(panel, recipe, seed=seed), strength)
            after = apply(values, mask, until, incidents, counts=True)
            found.append(roc_auc_score(labels(incidents, values.shape)[:, 150:].ravel(), ranked(after, until)[:, 150:].ravel()))
    chance = scores[0.0]
    assert abs(np.mean(chance) - 0.5) < 4 * np.std(chance) / 12**0.5 < 0.03
    assert np.mean(scores[4.0]) > np.mean(scores[0.5]) + 0.05 > 0.58


def test_the_oracle_is_the_ceiling_at_strength_and_nothing_at_zero():
    panel = values, mask, until, _ = drawn(150, rate=4.0)
    found = planned(panel)
    y = labels(found, values.shape)
    for strength, least, most in ((4.0, 0.9, 1.0), (0.0, 0, y.mean() + 1e-9)):
        incidents = with_strength(found, strength)
        score = oracle(values, apply(values, mask, until, incidents, counts=True), incidents)
        assert least <= average_precision_score(y.ravel(), score.ravel()) <= most
        assert not score[~y].any()


def test_the_oracle_falls_off_beside_an_anomaly_that_left_a_trace_and_nowhere_else():
    before = np.zeros((2, 12))
    incidents = [
        Incident(0, 4, 6, "spike", 1.0),
        Incident(0, 9, 11, "spike", 1.0),
        Incident(1, 4, 6, "drop", 1.0),
        Incident(1, 9, 10, "rise", 1.0, decoy=True),
    ]
    after = before.copy()
    after[0, 4:6], after[0, 9:11], after[1, 9] = 3, 1, 7
    score = oracle(before, after, incidents, buffer=5)  # 2 steps on either side
    np.testing.assert_allclose(score[0, 4:6], 1.75)
    np.testing.assert_allclose(score[0, 9:11], 1.5)
    np.testing.assert_allclose(score[0, [2, 3, 6, 7, 8, 11]] / NEAR, [1 / 3, 2 / 3, 2 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert not score[0, :2].any()
    assert not score[1].any()


def test_the_detection_curve_counts_what_was_found_by_kind_and_strength():
    incidents = [
        Incident(0, 2, 4, "bot", 1.0),
        Incident(1, 0, 1, "bot", 1.0),
        Incident(1, 3, 5, "bot", 2.0),
        Incident(0, 0, 1, "rise", 1.0, decoy=True),
    ]
    score = np.array([[0.9, 0, 0, 0.6, 0], [0.5, 0, 0, 0.1, 0.7]])
    assert detection(score, incidents, 0.5) == [
        {"kind": "bot", "strength": 1.0, "decoy": False, "incidents": 2, "found": 1},
        {"kind": "bot", "strength": 2.0, "decoy": False, "incidents": 1, "found": 1},
        {"kind": "rise", "strength": 1.0, "decoy": True, "incidents": 1, "found": 1},
    ]
    assert detection(score, [], 0.5) == []
