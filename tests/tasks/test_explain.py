"""Reasons for P(churn): a part that is named is really taken away, and exact shares point where taking away points."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from bench.api import FEATURES, STATIC, ChurnTrain, Context
from bench.data.events import Events
from bench.tasks.churn import explain
from bench.tasks.churn.history import DAY, prepare, rows_at
from bench.tasks.churn.rows import eligible, ids_of
from bench_plugins.gbm import Gbm

START = datetime(2024, 1, 1, tzinfo=UTC)
CUTOFF = int(START.timestamp()) * 1_000_000 + 100 * DAY
HORIZON = 28 * DAY
KINDS = ("?", "cancel", "purchase")


def log(seed: int, users: int = 400) -> pl.DataFrame:
    """Draw users who leave at their own times, so that silence tells."""
    rng = np.random.default_rng(seed)
    rate, leave = rng.gamma(2.0, 0.08, users) + 0.02, rng.uniform(40, 200, users)
    user = np.repeat(np.arange(users), rng.poisson(rate * 130) + 2)
    day = rng.uniform(0, 1, len(user)) * np.minimum(leave, 130)[user]
    kind = np.where(rng.random(len(user)) < 0.1, "cancel", "purchase")
    return pl.DataFrame({"user": [f"u{u:03d}" for u in user], "time": [START + timedelta(days=float(d)) for d in day], "kind": kind,
                         "value": rng.gamma(2, 5, len(user))})  # fmt: skip


def asked_of(frame: pl.DataFrame) -> tuple[explain.ExplainedUsers, ChurnTrain]:
    events = Events.build(frame, name="made", activity=("purchase",))
    history = prepare(events)
    users = eligible(history, CUTOFF, HORIZON, ever=False)
    inputs = rows_at(history, users, CUTOFF, HORIZON, 32, KINDS)
    active = history.active
    y = (active.events_until(CUTOFF + HORIZON) == active.events_until(CUTOFF))[users].astype(np.int8)
    own = {f.name: getattr(inputs, f.name) for f in fields(inputs)}
    return explain.ExplainedUsers.of(events, ids_of(events)[users].tolist(), inputs, 28.0, 32), ChurnTrain(**own, y=y)


def test_a_part_taken_away_leaves_what_a_log_without_its_events_gives() -> None:
    frame = log(0, users=60)
    asked, rows = asked_of(frame)
    found = {part.words: part for part in explain.parts(asked)}
    assert {"the last day with activity", "the events of the last 7d", "the events more than 28d ago", "the events of kind 'cancel'",
            "the values of the events"} <= set(found)  # fmt: skip
    time = pl.col("time").dt.epoch("us")
    kept = {
        "the events of kind 'cancel'": pl.col("kind") != "cancel",
        "the events of the last 7d": ~time.is_between(CUTOFF - 7 * DAY + 1, CUTOFF),
    }
    for words, left in kept.items():
        # nothing but the past of the cut-off counts, so what comes later may stay or go
        own = Events.build(frame.filter(left), name="made", activity=("purchase",))
        history, code = prepare(own), {name: at for at, name in enumerate(ids_of(own).tolist())}
        known = [n for n, u in enumerate(asked.users) if ids_of(asked.events)[u] in code]
        wanted = rows_at(history, np.array([code[ids_of(asked.events)[asked.users[n]]] for n in known]), CUTOFF, HORIZON, 32, KINDS)
        got = found[words].inputs.take(np.array(known))
        for name in ("offsets", "days_before_cutoff", "gap", "kind", "static"):
            assert np.array_equal(getattr(got, name), getattr(wanted, name)), (words, name)
    assert len(rows) == len(found["the values of the events"].inputs)
    assert (found["the values of the events"].inputs.column("value_sum") == 0).all()


def test_nobody_is_given_a_reason_that_is_no_part_of_their_past() -> None:
    asked, rows = asked_of(log(1, users=60))
    part = next(p for p in explain.parts(asked) if p.words == "the events of kind 'cancel'")
    cancelled = [bool((rows.kind[a:b] == 1).any()) for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]
    assert part.touched[cancelled].any()
    words = explain.by_parts(np.full(len(rows), 0.5), [(part, np.full(len(rows), 0.8))])
    assert [bool(text) for text in words] == part.touched.tolist()
    assert next(text for text in words if text) == "lowered by the events of kind 'cancel': 80% without"


@pytest.fixture(scope="module")
def fitted() -> tuple[Gbm, explain.ExplainedUsers, ChurnTrain]:
    model, (_, rows) = Gbm(Gbm.default()), asked_of(log(2))
    model.fit(rows, Context(horizon=28.0))
    return model, *asked_of(log(3))


def test_exact_shares_agree_with_what_taking_the_last_week_away_really_does(fitted) -> None:
    model, asked, rows = fitted
    ctx = Context(horizon=28.0)
    part = next(p for p in explain.parts(asked) if p.words == "the events of the last 7d")
    both = part.touched
    before, after = (explain._log_odds(model.predict(x, ctx)) for x in (rows, part.inputs))
    lately = model.contributions(rows)[:, : len(STATIC) + len(FEATURES)].sum(axis=1) - model.contributions(part.inputs)[:, :-1].sum(axis=1)
    assert lately[both] == pytest.approx((before - after)[both], abs=1e-9)
    assert np.median((before - after)[both]) < 0, "who was active last week is less likely to churn than without it"
    recency = model.contributions(rows)[:, STATIC.index("recency")]
    assert spearmanr(recency[both], rows.column("recency")[both]).statistic > 0.5


def test_reasons_are_the_three_strongest_in_words(fitted) -> None:
    model, _, rows = fitted
    shares = model.contributions(rows)[:, :-1]
    words = explain.by_columns(shares, rows)
    assert len(words) == len(rows)
    assert max(len(text.split("; ")) for text in words) == 3
    first = words[0].split("; ")[0]
    strongest = int(np.abs(shares[0]).argmax())
    assert first.endswith(f"({shares[0, strongest]:+.2f})")
    assert first.startswith("raised by " if shares[0, strongest] > 0 else "lowered by ")
