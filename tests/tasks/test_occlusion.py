"""What is taken away from the inputs of churn models, and that nothing else changes."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from bench.api import STATIC, ChurnInputs
from bench.data.events import Events
from bench.tasks.churn import occlusion
from bench.tasks.churn.history import DAY, prepare, rows_at
from bench.tasks.churn.occlusion import permuted, probes, sample, without

START = datetime(2024, 1, 1, tzinfo=UTC)
KINDS = ("?", "purchase", "cancel")


def made(rows: list[tuple[str, float, str]], cutoff: float = 100, longest: int | None = None) -> ChurnInputs:
    """Make inputs of (user, day, kind) at a cut-off, days after the start."""
    user, day, kind = zip(*rows, strict=True)
    frame = pl.DataFrame({"user": user, "time": [START + timedelta(days=d) for d in day], "kind": kind, "value": 1.0})
    frame = frame.with_columns(item=pl.concat_str(pl.lit("i"), pl.Series(day) % 7))
    history = prepare(Events.build(frame, name="made", activity=("purchase", "cancel")))
    at = int((START + timedelta(days=cutoff)).timestamp() * 1e6)
    return rows_at(history, np.arange(len(history.group)), at, 28 * DAY, longest, KINDS)


def random_inputs(seed: int, users: int = 30, longest: int | None = 6) -> ChurnInputs:
    rng = np.random.default_rng(seed)
    n = users * 8
    kind = np.where(rng.random(n) < 0.3, "cancel", "purchase").tolist()
    user, day = rng.integers(0, users, n).tolist(), rng.integers(0, 100, n).tolist()
    return made([(f"u{u}", d, k) for u, d, k in zip(user, day, kind, strict=True)], longest=longest)


def test_a_hole_widens_the_gap_behind_it_and_no_other() -> None:
    inputs = made([("a", 10, "purchase"), ("a", 12, "cancel"), ("a", 15, "cancel"), ("a", 40, "purchase"), ("a", 41, "purchase"),
                   ("b", 20, "cancel"), ("b", 30, "purchase")])  # fmt: skip
    left = without(inputs, inputs.kind == KINDS.index("cancel"))
    assert left.lengths.tolist() == [3, 1]
    assert left.days_before_cutoff.tolist() == [90, 60, 59, 70]
    assert left.gap.tolist() == [0, 30, 1, 0]


@given(st.integers(0, 10_000))
def test_what_is_left_is_what_a_log_without_those_events_would_have_given(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(f"u{n % 4}", float(rng.integers(0, 90)) + n / 1000, str(rng.choice(KINDS[1:]))) for n in range(24)]
    left = without(inputs := made(rows), inputs.kind == KINDS.index("cancel"))
    users = sorted({user for user, _, _ in rows})
    plain = {u: sorted(100 - day for user, day, kind in rows if user == u and kind == "purchase")[::-1] for u in users}
    for n, user in enumerate(users):
        own = left.take(np.array([n]))
        np.testing.assert_allclose(own.days_before_cutoff, plain[user], rtol=1e-5)
        np.testing.assert_allclose(own.gap, [0, *-np.diff(plain[user])][: len(plain[user])], atol=1e-4)
    bought = made([row for row in rows if row[2] == "purchase"])
    assert (left.item.tolist(), left.item_offsets.tolist()) == (bought.item.tolist(), bought.item_offsets.tolist())


@given(st.integers(0, 10_000))
def test_nothing_taken_changes_nothing_even_where_histories_are_capped(seed: int) -> None:
    inputs = random_inputs(seed)
    same = without(inputs, np.zeros(len(inputs.kind), bool))
    assert all(np.array_equal(getattr(same, f.name), getattr(inputs, f.name)) for f in fields(inputs))


def test_time_is_cut_at_the_day_on_both_sides_and_aggregates_stay() -> None:
    inputs = random_inputs(1)
    found = {p.what: p.inputs for p in probes(inputs, 0) if p.group == "time"}
    assert found["the last 28 days"].days_before_cutoff.min() > 28
    assert found["all before the last 28 days"].days_before_cutoff.max() <= 28
    both = sum(len(found[name].kind) for name in ("the last 28 days", "all before the last 28 days"))
    assert both == len(inputs.kind)
    assert all(np.array_equal(part.static, inputs.static) for part in found.values())


def test_an_aggregate_is_shuffled_alone_and_one_that_never_varies_is_left_out() -> None:
    inputs = random_inputs(2)
    at = STATIC.index("recency")
    mixed = permuted(inputs, at, 0)
    assert sorted(mixed.static[:, at]) == sorted(inputs.static[:, at])
    assert not np.array_equal(mixed.static[:, at], inputs.static[:, at])
    assert np.array_equal(np.delete(mixed.static, at, axis=1), np.delete(inputs.static, at, axis=1))
    assert np.array_equal(permuted(inputs, at, 0).static, mixed.static)
    flat = replace(inputs, static=np.where(np.arange(len(STATIC)) == at, 3.0, inputs.static))
    assert "recency" in {p.what for p in probes(inputs, 0)}
    assert "recency" not in {p.what for p in probes(flat, 0)}


def test_users_are_chosen_by_a_hash_and_steps_are_bounded(monkeypatch) -> None:
    inputs = random_inputs(3)
    monkeypatch.setattr(occlusion, "USERS", 10)
    rows = sample(inputs, 0)
    assert len(rows) == 10
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() != sample(inputs, 1).tolist()
    monkeypatch.setattr(occlusion, "STEPS", 20)
    assert 0 < inputs.lengths[sample(inputs, 0)].sum() <= 20
