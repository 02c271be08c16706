"""Compute whom a message of the simulated network is addressed to, given all that went before: the law of its Hawkes process.

That a user writes at a time is given; to whom follows from the intensities of what may be behind it, which share the
user's pace, so that it cancels:

- a causeless message: the user's rate, over the partners by their weights;
- a follow-up of an own message: exponential in its age; to the same partner, or over the partners by their weights;
- an answer to a message received and not yet answered: the hazard of the lognormal delay, a f(x) / (1 - a integral of
  f times pace), where a is the user's readiness.

Which messages have been answered is known here, and nowhere in the log: the law knows a little more than anybody can.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.special import ndtr

from bench.api import Array
from bench.data.ragged import spans

from ._social_cascade import Messages, Network, Users, partner

OWN, RECEIVED = 20.0, 10.0
"""How far back is looked: own messages in mean delays (e^-20 is left), received ones in days (less than 1 in 10,000 answers)."""
AT_ONCE = 20_000
"""Messages described at once: a table of some millions of rows each."""


def addressed(network: Network, users: Users, sent: Messages, asked: Array) -> tuple[Array, Array, Array]:
    """Return of each message `asked`, by index in `sent`, whom it could be addressed to: message, target and weight, [L] each."""
    chunks = [asked[at : at + AT_ONCE] for at in range(0, max(len(asked), 1), AT_ONCE)]
    tables = [(chunk, _addressed(network, users, sent, chunk)) for chunk in chunks]
    message = np.concatenate([chunk[table["at"].to_numpy()] for chunk, table in tables])
    target, weight = (np.concatenate([table[name].to_numpy() for _, table in tables]) for name in ("target", "weight"))
    return message, target, weight


def _addressed(network: Network, users: Users, sent: Messages, asked: Array) -> pl.DataFrame:
    """Sum the intensities of each message, by its place in `asked`, and target."""
    user, time = sent.source[asked], sent.time[asked]
    own, parent = _before(sent.source, sent.time, user, time, OWN * network.self_delay)
    excited = network.self_excited / network.self_delay * np.exp(-(time[own] - sent.time[parent]) / network.self_delay)
    other = (1 - network.same_partner) * np.bincount(own, excited, len(asked))
    whose, partners, share = _weights(network, users, user)
    got, received = _before(sent.target, sent.time, user, time, RECEIVED)
    # the message on joining is nobody's answer
    waits = (_answered_at(sent)[received] >= time[got]) & (time[got] > users.joined[user[got]])
    got, received = got[waits], received[waits]
    hazard = _hazard(network, users, user[got], sent.time[received], time[got])
    table = pl.DataFrame({
        "at": np.concatenate([whose, own, got]),
        "target": np.concatenate([partners, sent.target[parent], sent.source[received]]),
        "weight": np.concatenate([(users.rate[user] + other)[whose] * share, network.same_partner * excited, hazard]),
    })  # fmt: skip
    return table.group_by("at", "target").agg(pl.col("weight").sum()).sort("at", "target")


def _before(who: Array, when: Array, user: Array, time: Array, longest: float) -> tuple[Array, Array]:
    """List the messages of (or to) each user before a time and after time - longest: (place in `user`, message), [P] each."""
    order = np.lexsort((when, who))
    stride = float(np.ceil(when.max())) + longest + 1  # users lie so far apart that no window reaches into another's
    key = who[order] * stride + when[order]
    low = np.searchsorted(key, user * stride + np.maximum(time - longest, 0.0))
    high = np.searchsorted(key, user * stride + time)
    found, _ = spans(low, high - low)
    return np.repeat(np.arange(len(user)), high - low), order[found]


def _weights(network: Network, users: Users, user: Array) -> tuple[Array, Array, Array]:
    """List each user's partners and their weights, which sum to 1: (place in `user`, partner, weight), [P] each."""
    most = users.partners[user]
    rank, _ = spans(np.zeros(len(user), np.int64), most)
    at, power = np.repeat(np.arange(len(user)), most), 1 - network.partner_zipf
    share = ((rank + 2.0) ** power - (rank + 1.0) ** power) / ((most[at] + 1.0) ** power - 1)
    return at, partner(network, users, user[at], rank), share


def _answered_at(sent: Messages) -> Array:
    """Return when each message was answered, float64 [E]; infinite where it never was."""
    found = np.full(len(sent.time), np.inf)
    answer = np.flatnonzero(sent.answers >= 0)
    found[sent.answers[answer]] = sent.time[answer]
    return found


def _hazard(network: Network, users: Users, user: Array, since: Array, time: Array) -> Array:
    """Compute the intensity at a time with which a user answers what came at `since`, over the user's pace: float64 [P]."""
    median, sigma = network.answer_delay
    age, a = time - since, users.answers[user]

    def ended(x: Array) -> Array:  # the integral of f from 0 to x
        return np.asarray(ndtr(np.log(np.maximum(x, 1e-300) / median) / sigma))

    def moment(x: Array) -> Array:  # the integral of x f
        return np.asarray(median * np.exp(sigma**2 / 2) * ndtr(np.log(np.maximum(x, 1e-300) / median) / sigma - sigma))

    # pace: 0 before joining, then 1, then falling over `slow` to `slow_to`
    there = np.clip(users.joined[user] - since, 0.0, age)
    slow = np.maximum(users.slow[user], 1e-9)
    falls = np.clip(users.gone[user] - slow - since, there, age)
    lost = (moment(age) - moment(falls)) - (users.gone[user] - slow - since) * (ended(age) - ended(falls))
    passed = ended(age) - ended(there) - (1 - network.slow_to) / slow * lost
    density = np.exp(-0.5 * (np.log(np.maximum(age, 1e-300) / median) / sigma) ** 2) / (
        np.maximum(age, 1e-300) * sigma * np.sqrt(2 * np.pi)
    )
    return np.asarray(a * density / (1 - a * passed))
