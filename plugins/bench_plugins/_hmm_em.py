"""EM for the hidden Markov model of active and dormant users, and what it makes of churn.

Learnt from each row's past *and* its label, the label being what is known of the periods ahead: where only users active
of late are rows, nobody who left long ago is among them, and pasts alone would say that nobody ever leaves. For the same
reason the likelihood is then conditioned on having been active of late. Dempster, Laird & Rubin, "Maximum likelihood
from incomplete data via the EM algorithm", JRSS B 39 (1977). Letters: N rows, K periods, R classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bench.api import Array, ChurnInputs, ChurnTrain, Context
from bench_plugins._activity import Activity, calibrated, calibration, chosen, passive_kinds
from bench_plugins._hmm import Filtered, Hmm, forward, silent

ROUNDS = 100
"""Most rounds of EM."""
GAIN = 1e-4
"""Gain in the mean log-posterior of a row below which EM ends."""
EDGE = 0.5
"""Pseudo-counts that keep rates, weights and transitions off the edge, where nothing could be learnt any more."""
SURE = 1 - 1e-9
"""Largest P(nothing) that something is still believed to be possible beside."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Describe what is believed beforehand: `stay` pseudo-periods of no change of state, and `rate`, that of all users together."""

    stay: float
    rate: float


@dataclass(slots=True)
class Expected:
    """The expected statistics, each [R]: users, events, exposure while active, and the four kinds of steps."""

    users: Array
    events: Array
    exposure: Array
    stayed: Array
    left: Array
    slept: Array
    returned: Array

    def plus(self, other: Expected) -> Expected:
        """Add two sums."""
        return Expected(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def expected(model: Hmm, seen: Activity, found: Filtered, share: Array) -> Expected:
    """Run backwards and sum up the expected statistics of all users, each of whom counts `share` [N] times."""
    zero, leave, back = np.zeros(len(model.rate)), model.leave[:, None], model.back[:, None]
    total = Expected((found.active[-1] + found.dormant[-1]) @ share, *(zero.copy() for _ in range(6)))
    # P(later counts | state), scaled, times the share: all that is summed is linear in it
    after_active = after_dormant = np.broadcast_to(share, found.active.shape[1:])
    for k in range(len(found.scale) - 1, -1, -1):
        now, n, e = found.active[k] * after_active, seen.counts[:, k], seen.exposure[:, k]  # [R, N], [N], [N]
        unknown = np.isnan(n)
        total.exposure += now @ e
        total.events += model.rate * (now @ (e * unknown)) + now @ np.where(unknown, 0.0, n)
        if not k:
            break
        begun = seen.exposure[:, k - 1] > 0
        active = after_active * found.chance[k] / found.scale[k]
        dormant = after_dormant * (~(n > 0) / found.scale[k])
        was_active, was_dormant = found.active[k - 1] * begun, found.dormant[k - 1] * begun
        total.stayed += paired(was_active, active) * (1 - model.leave)
        total.left += paired(was_active, dormant) * model.leave
        total.returned += paired(was_dormant, active) * model.back
        total.slept += paired(was_dormant, dormant) * (1 - model.back)
        new_active, new_dormant = (1 - leave) * active + leave * dormant, back * active + (1 - back) * dormant
        after_active = new_active if begun.all() else np.where(begun, new_active, after_active)
        after_dormant = new_dormant if begun.all() else np.where(begun, new_dormant, after_dormant)
    return total


def paired(one: Array, other: Array) -> Array:
    """Sum the products over users; [R, N] each, to [R]."""
    return np.asarray(np.einsum("rn,rn->r", one, other))


def maximised(total: Expected, prior: Prior) -> Hmm:
    """Return the parameters of the largest expected log-posterior."""
    weight = total.users + EDGE
    stayed, left, slept, returned = (x.sum() for x in (total.stayed, total.left, total.slept, total.returned))
    return Hmm(
        rate=(total.events + EDGE) / (total.exposure + EDGE / prior.rate),
        weight=weight / weight.sum(),
        leave=np.full(len(weight), (left + EDGE) / (left + stayed + EDGE + prior.stay)),
        back=np.full(len(weight), (returned + EDGE) / (returned + slept + EDGE + prior.stay)),
    )


def log_prior(model: Hmm, prior: Prior) -> float:
    """Compute the log-density of the parameters, up to a constant: gamma, Dirichlet and beta priors."""
    rate = (np.log(model.rate) - model.rate / prior.rate).sum() * EDGE
    leave, back = model.leave[0], model.back[0]
    turn = EDGE * np.log(leave * back) + prior.stay * (np.log1p(-leave) + np.log1p(-back))
    return float(rate + EDGE * np.log(model.weight).sum() + turn)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What EM learns from: the past of N rows, their labels, and whether only those active of late are among them."""

    past: Activity
    silent: Array
    """bool [N]: no event in the `ahead` periods after the past."""
    ahead: int
    truncated: bool
    """Every row had an event in the last `ahead` periods, or would not have been seen."""

    def followed(self, count: float) -> Activity:
        """Go on with `ahead` whole periods of a given count: 0, or NaN for unknown."""
        n = len(self.silent)
        more = np.full((n, self.ahead), count), np.ones((n, self.ahead))
        return Activity(np.hstack([self.past.counts, more[0]]), np.hstack([self.past.exposure, more[1]]))

    def unseen(self) -> Activity:
        """Return the pasts that would have kept the rows out of sight: anything, then nothing in the last periods."""
        counts = np.where(np.arange(self.past.counts.shape[1]) < self.past.counts.shape[1] - self.ahead, np.nan, 0.0)
        return Activity(np.broadcast_to(counts, self.past.counts.shape), self.past.exposure)


def gathered(model: Hmm, given: Evidence) -> tuple[Expected, float]:
    """Compute the expected statistics of all rows, and their log-likelihood.

    That something happened ahead (label 0) is all that may happen less that nothing did: statistics given "something"
    are (those of all - P(nothing) those of nothing) / (1 - P(nothing)). Rows out of sight are added as in Dempster,
    Laird & Rubin (1977), section 4.2: for each row seen, P(out of sight) / (1 - P(out of sight)) that were not.
    """
    empty, some = given.followed(0.0), ~given.silent
    found = forward(model, empty)
    k = given.past.counts.shape[1]
    logs = np.log(found.scale)
    nothing = np.minimum(np.exp(logs[k:].sum(axis=0)), SURE)
    share = np.where(some, -nothing / (1 - nothing), 1.0)
    total = expected(model, empty, found, share)
    likely = float(logs[:k].sum() + np.where(some, np.log1p(-nothing), np.log(nothing)).sum())
    rest = given.followed(np.nan).take(some)
    total = total.plus(expected(model, rest, forward(model, rest), 1 / (1 - nothing[some])))
    if given.truncated and k > given.ahead:
        hidden = given.unseen().take(given.past.exposure[:, k - given.ahead - 1] > 0)
        found = forward(model, hidden)
        p = np.minimum(np.exp(found.log_likelihood), SURE)
        total = total.plus(expected(model, hidden, found, p / (1 - p)))
        likely -= float(np.log1p(-p).sum())
    return total, likely


def fit(given: Evidence, classes: int, prior: Prior, stop: Callable[[], bool]) -> tuple[Hmm, list[float]]:
    """Fit by EM from a fixed start: the model, and the log-posterior before each round, which never falls."""
    even = np.ones(classes)
    ladder = np.geomspace(0.25, 8.0, classes) if classes > 1 else even * 2
    model = Hmm(prior.rate * ladder, even / classes, even * 0.05, even * 0.02)
    trace: list[float] = []
    for _ in range(ROUNDS):
        total, likely = gathered(model, given)
        trace.append(likely + log_prior(model, prior))
        if (len(trace) > 1 and trace[-1] - trace[-2] < GAIN * len(given.silent)) or stop():
            break
        model = maximised(total, prior)
    return model, trace


def learn(train: ChurnTrain, params: Mapping[str, Any], ctx: Context) -> dict[str, Array]:
    """Fit the model on some of the rows, then a calibration on all labels."""
    passive = passive_kinds(train, ctx.history)
    seen = Activity.of(train, ctx.horizon / params["periods"], passive)
    rows = chosen(train)
    past = seen.take(rows)
    rate = max(past.counts.sum() / max(past.exposure.sum(), 1.0), 1e-3)
    truncated = bool((train.column("recency") < ctx.horizon).all())
    given = Evidence(past, train.y[rows] == 1, params["periods"], truncated)
    model, trace = fit(given, params["classes"], Prior(params["stay"], rate), ctx.should_stop)
    ctx.report(len(trace), -trace[-1] / max(len(rows), 1))
    return {**model.arrays(), "passive": passive, "calibration": calibration(silent(model, seen, params["periods"]), train.y)}


def answer(inputs: ChurnInputs, state: Mapping[str, Array], params: Mapping[str, Any], ctx: Context) -> Array:
    """Return P(no event within the horizon) [N]."""
    seen = Activity.of(inputs, ctx.horizon / params["periods"], state["passive"])
    model = Hmm(**{field.name: state[field.name] for field in fields(Hmm)})
    return calibrated(silent(model, seen, params["periods"]), state["calibration"])
