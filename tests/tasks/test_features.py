"""FEATURES of the churn task: against a plain transcription, and against leaks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import FEATURES, STATIC, ChurnInputs
from bench.data.events import Events
from bench.data.feature_names import QUARTERS
from bench.tasks.churn.features import table
from bench.tasks.churn.history import DAY, prepare, rows_at

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
HORIZON = 28 * DAY
CUTOFF = int(START.timestamp()) * 1_000_000 + 120 * DAY + 12_345
KINDS = ("?", "cancel", "purchase")


def random_log(seed: int, users: int = 40) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), rng.poisson(rng.gamma(1.0, 12.0, users)) + 1)
    n = len(user)
    day = rng.integers(0, 200 * 24, n) / 24
    return pl.DataFrame({
        "user": [f"u{u}" for u in user],
        "time": [START + timedelta(days=d) for d in day],
        "kind": np.where(rng.random(n) < 0.15, "cancel", "purchase"),
        "value": rng.gamma(2, 10, n).round(2),
        "item": [None if i == 0 else f"i{i}" for i in rng.integers(0, 12, n)],
    })  # fmt: skip


def built(frame: pl.DataFrame) -> Events:
    return Events.build(frame, name="made", activity=("purchase",))


def inputs_of(events: Events, cutoff: int = CUTOFF) -> ChurnInputs:
    history = prepare(events)
    users = np.flatnonzero(history.active.events_until(cutoff))
    return rows_at(history, users, cutoff, HORIZON, 8, KINDS)


def plain(own: pl.DataFrame) -> dict[str, float]:
    """Transcribe some of the features for one user's past, event by event, oldest first."""
    time = own["time"].dt.epoch("us").to_numpy()
    kind, item = own["kind"].cast(pl.String).to_list(), own["item"].cast(pl.String).to_list()
    active = np.array([k == "purchase" for k in kind])
    t, value = time[active], own["value"].to_numpy()[active]
    days = sorted({x // DAY for x in t.tolist()})
    gaps, silence = np.diff(days), (CUTOFF - t.max()) / DAY
    counts = [int(((t > CUTOFF - (k + 1) * HORIZON // 4) & (t <= CUTOFF - k * HORIZON // 4)).sum()) for k in range(QUARTERS)]
    late, first = t > CUTOFF - HORIZON, t < t.min() + 7 * DAY
    seen: set[str] = set()
    new = [i is not None and i not in seen and not seen.add(i) for i in item]  # type: ignore[func-returns-value]
    named, recent = np.array([i is not None for i in item]), time > CUTOFF - HORIZON
    weekday = np.array([(START + timedelta(microseconds=int(x) - int(START.timestamp()) * 10**6)).weekday() for x in t])
    share = np.bincount(weekday, minlength=7) / len(t)
    hour = t // (DAY // 24) % 24
    step = value.astype(float)
    runs, longest, run = np.diff(days) == 1, 1, 1
    for consecutive in runs:
        run = run + 1 if consecutive else 1
        longest = max(longest, run)
    return {
        **{f"events_q{k + 1}": c for k, c in enumerate(counts)},
        "days_h": len({x // DAY for x in t[late].tolist()}),
        "value_h": value[late].sum(),
        "slope_2h": np.polyfit(-np.arange(QUARTERS), np.log1p(counts), 1)[0],
        "share_h_of_all": late.mean(),
        "gap_median": np.sort(gaps)[(len(gaps) - 1) // 2] if len(gaps) else 0,
        "gap_max": gaps.max(initial=0),
        "gap_last": gaps[-1] if len(gaps) else 0,
        "gap_before_last": gaps[-2] if len(gaps) > 1 else 0,
        "silence_to_mean": silence / (gaps.mean() if len(gaps) else 28),
        "silence_rank": (gaps <= silence).mean() if len(gaps) else 0,
        "streak_longest": longest,
        "streak_last": run,
        "events_most_day": max((t // DAY == d).sum() for d in days),
        "events_last_day": (t // DAY == days[-1]).sum(),
        "first_week_events": first.sum(),
        "first_week_value": value[first].sum(),
        "value_std": step.std(),
        "value_last": step[-1],
        "value_max": step.max(),
        "monday": share[0],
        "sunday": share[6],
        "weekday_entropy": -(share[share > 0] * np.log(share[share > 0])).sum() / np.log(7),
        "hours_evening": (hour >= 18).mean(),
        "kinds": len(set(kind)),
        "other_share": 1 - active.mean(),
        "kind_1_h": sum(k == "cancel" for k, r in zip(kind, recent, strict=True) if r),
        "items": sum(new),
        "items_new_h": sum(np.array(new) & recent),
        "item_repeats": (named.sum() - sum(new)) / max(named.sum(), 1),
    }


@pytest.mark.parametrize("seed", range(4))
def test_the_features_equal_a_plain_transcription(seed: int) -> None:
    frame = random_log(seed).unique(["user", "time", "kind"], maintain_order=True)  # a step is then one event
    events = built(frame)
    inputs = inputs_of(events)
    history = prepare(events)
    users = np.flatnonzero(history.active.events_until(CUTOFF))
    names = events.frame["user"].dtype.categories
    assert len(users) > 20
    for row, user in enumerate(users):
        own = events.frame.filter((pl.col("user").cast(pl.String) == names[int(user)]) & (pl.col("time").dt.epoch("us") <= CUTOFF))
        wanted = plain(own)
        got = {name: float(inputs.column(name)[row]) for name in wanted}
        assert got == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_windows_agree_with_the_aggregates_that_they_refine() -> None:
    inputs = inputs_of(built(random_log(9)))
    quarters = np.stack([inputs.column(f"events_q{k + 1}") for k in range(QUARTERS)], axis=1)
    for name, width in (("count_h4", 1), ("count_h2", 2), ("count_h", 4), ("count_2h", 8)):
        assert quarters[:, :width].sum(axis=1).tolist() == inputs.column(name).tolist()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), keep=st.floats(0, 1), shift=st.floats(0, 400))
def test_changing_or_deleting_the_future_leaves_every_feature_bit_identical(seed: int, keep: float, shift: float) -> None:
    rng, frame = np.random.default_rng(seed), random_log(seed % 20)
    past = frame.filter(pl.col("time").dt.epoch("us") <= CUTOFF)
    future = frame.filter(pl.col("time").dt.epoch("us") > CUTOFF)
    future = future.filter(pl.Series(rng.random(len(future)) < keep)).with_columns(
        pl.col("time") + timedelta(days=shift), pl.col("value") * -7, kind=pl.lit("a new kind"), item=pl.lit("i3")
    )
    kinds = ("purchase", "a new kind")
    changed = Events.build(pl.concat([past, future]), name="made", activity=kinds)
    before, after = (inputs_of(e) for e in (Events.build(frame, name="made", activity=kinds), changed))
    order, other = np.argsort(before.group), np.argsort(after.group)
    assert before.features[order].tobytes() == after.features[other].tobytes()


def test_blocks_of_users_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    events = built(random_log(3))
    whole = inputs_of(events).features
    monkeypatch.setattr(table, "BLOCK", 16)
    monkeypatch.setattr("bench.tasks.churn.prepared.BLOCK", 16)
    assert inputs_of(events).features.tobytes() == whole.tobytes()


def test_every_feature_is_finite_and_most_of_them_differ_between_users() -> None:
    inputs = inputs_of(built(random_log(5)))
    assert inputs.features.shape == (len(inputs), len(FEATURES))
    assert np.isfinite(inputs.features).all()
    flat = [name for name in FEATURES if len(np.unique(inputs.column(name))) == 1]
    assert set(flat) <= {"all_h_to_before", "all_churned_h", "all_year", *(f"kind_{k}_{w}" for k in (3, 4) for w in ("h", "share"))}


def test_a_user_without_activity_and_a_log_without_items_get_zeros() -> None:
    frame = random_log(6).with_columns(pl.lit(None, pl.String).alias("item"))
    frame = frame.with_columns(kind=pl.when(pl.col("user") == "u1").then(pl.lit("cancel")).otherwise("kind"))
    history = prepare(built(frame))
    inputs = rows_at(history, np.arange(len(history.group)), CUTOFF, HORIZON, 8, KINDS)
    idle = np.flatnonzero(inputs.column("n_events") == 0)
    assert len(idle)
    assert (inputs.features[idle, : list(FEATURES).index("kinds")] == 0).all()
    assert (inputs.column("items") == 0).all()


def test_names_are_of_one_table_each() -> None:
    assert not set(FEATURES) & set(STATIC)
    assert len(FEATURES) == len(set(FEATURES))
