"""The process behind the simulated network: its parameters, its users, and the messages that messages cause.

All times are on the network's clock, in days; `social_simulator` says which model this is and turns it into a log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.api import Array
from bench.data.ragged import hashed

HOUR = 1 / 24
MOST_GENERATIONS = 200
"""Never reached: each message causes fewer than one on average."""


@dataclass(frozen=True)
class Network:
    """The parameters of the model; lengths of time are in days of the network's clock."""

    start: str = "2024-01-01"
    days: int = 200
    founders: float = 0.4
    """Share of users who are there in the first two weeks; the others join evenly until the end."""
    rate_shape: float = 1.0
    """Shape of the gamma distribution of the rates of causeless messages."""
    mean_rate: float = 0.18
    """Causeless messages a day, on average."""
    dropout_shape: float = 1.2
    dropout_scale: float = 70.0
    """Shape, and 1 / scale, of the gamma distribution of dropout rates."""
    slowing: float = 0.5
    """Share of users who slow down before they leave; the others fall silent at once."""
    slow_days: tuple[float, float] = (5.0, 30.0)
    slow_to: float = 0.1
    """What is left of the rate at the end."""
    self_excited: float = 0.38
    """Messages of the same user that a message causes, on average."""
    self_delay: float = 0.2 * HOUR
    """Mean of the exponential delay."""
    same_partner: float = 0.7
    """Share of self-excited messages that go to the same partner."""
    answering: tuple[float, float] = (2.0, 1.2)
    """Parameters of the beta distribution of users' readiness to answer..."""
    answer_most: float = 0.6
    """...as a share of this probability. With `self_excited` it stays below 1: two who always answer would never stop."""
    answer_delay: tuple[float, float] = (0.2 * HOUR, 1.8)
    """Median and log standard deviation of the lognormal delay."""
    mean_partners: float = 16.0
    partner_zipf: float = 0.9
    """Exponent of the weights of a user's partners by rank; not 1."""
    week: tuple[float, ...] = (1.1, 1.15, 1.1, 1.05, 0.9, 0.75, 0.95)
    """Factors of Monday to Sunday."""
    quiet_hour: float = 4.0
    """Time of day at which the pace is lowest; it is highest twelve hours later."""
    night: float = 0.92
    """Depth of the daily cycle: 0 none, 1 down to silence."""
    surges: int = 4
    surge_factors: tuple[float, float] = (2.0, 3.5)
    spam: float = 0.01
    """Share of users whose account sends spam once."""


@dataclass(frozen=True)
class Users:
    """What differs between users, [N] each, in the order of joining; `joined` and `gone` are on the network's clock."""

    joined: Array
    gone: Array
    rate: Array
    slow: Array
    """How long before `gone` the pace begins to fall; 0: not at all."""
    answers: Array
    """Probability to answer a message."""
    partners: Array
    """Number of partners."""
    key: int
    """Chooses who a user's k-th partner is."""

    def pace(self, user: Array, time: Array, left: float) -> Array:
        """Return what is left of a user's pace at a time, in [0, 1]: 0 before joining and after leaving."""
        to_go = self.gone[user] - time
        falling = left + (1 - left) * np.clip(to_go / np.maximum(self.slow[user], 1e-9), 0, 1)
        return np.where((time >= self.joined[user]) & (to_go > 0), falling, 0.0)


@dataclass(frozen=True)
class Messages:
    """Messages, [E] each: who writes to whom, and when on the network's clock."""

    source: Array
    target: Array
    time: Array
    answers: Array
    """int64 [E]: which of a cascade's messages it answers, -1 for none."""

    def take(self, rows: Array) -> Messages:
        """Select by index or mask."""
        return Messages(self.source[rows], self.target[rows], self.time[rows], self.answers[rows])

    @classmethod
    def unasked(cls, source: Array, target: Array, time: Array) -> Messages:
        """Make messages that answer none."""
        return cls(source, target, time, np.full(len(time), -1))

    @classmethod
    def joined(cls, several: Sequence[Messages]) -> Messages:
        """Put several under each other."""
        return cls(*(np.concatenate([getattr(m, name) for m in several]) for name in ("source", "target", "time", "answers")))


def join(network: Network, size: int, end: float, rng: np.random.Generator) -> Users:
    """Draw when users join, how long they stay, how much they write and answer; `end` on the network's clock."""
    founder = rng.random(size) < network.founders
    joined = np.sort(np.where(founder, rng.uniform(0, 14, size), rng.uniform(0, end, size)))
    lifetime = rng.exponential(1, size) / rng.gamma(network.dropout_shape, 1 / network.dropout_scale, size)
    slows = rng.random(size) < network.slowing
    return Users(
        joined=joined,
        gone=joined + lifetime,
        rate=rng.gamma(network.rate_shape, network.mean_rate / network.rate_shape, size),
        slow=np.where(slows, np.minimum(rng.uniform(*network.slow_days, size), lifetime), 0.0),
        answers=network.answer_most * rng.beta(*network.answering, size),
        partners=1 + rng.geometric(1 / network.mean_partners, size),
        key=int(rng.integers(2**31)),
    )


def _partners(network: Network, users: Users, user: Array, rng: np.random.Generator) -> Array:
    """Draw whom each of `user` [E] writes to: a rank by Zipf's weights, and who has that rank by preferential attachment.

    A partner is a function of (user, rank), so that a user meets the same few again and again: of those who joined
    earlier, or of the founders. The n-th user is drawn in proportion to n ** -1/2.
    """
    most = users.partners[user]
    power = 1 - network.partner_zipf  # the inverse of a power law's distribution function, cut to whole ranks
    rank = np.floor((1 + rng.random(len(user)) * ((most + 1.0) ** power - 1)) ** (1 / power)) - 1
    return partner(network, users, user, rank)


def partner(network: Network, users: Users, user: Array, rank: Array) -> Array:
    """Return who the partner of a rank, from 0, is: int64 [E]."""
    size = len(users.rate)
    known = np.clip(np.maximum(user, round(network.founders * size)), 1, size - 1)
    uniform = hashed(user * 1_000_003 + rank.astype(np.int64), users.key)
    met = np.floor(known * uniform**2).astype(np.int64)
    return np.asarray(met + (met >= user))  # nobody writes to themselves


def causeless(network: Network, users: Users, end: float, rng: np.random.Generator) -> Messages:
    """Draw each user's causeless messages: one on joining, then a Poisson process, thinned where they slow down."""
    size = len(users.rate)
    there = np.minimum(users.gone, end) - users.joined
    n = rng.poisson(users.rate * there)
    user = np.repeat(np.arange(size), n)
    time = users.joined[user] + there[user] * rng.random(len(user))
    kept = rng.random(len(user)) < users.pace(user, time, network.slow_to)
    user, time = np.concatenate([np.arange(size), user[kept]]), np.concatenate([users.joined, time[kept]])
    return Messages.unasked(user, _partners(network, users, user, rng), time)


def cascade(first: Messages, network: Network, users: Users, end: float, rng: np.random.Generator) -> Messages:
    """Add what messages cause, generation by generation."""
    generations, before = [first], 0
    while len(generations[-1].time) and len(generations) < MOST_GENERATIONS:
        parents = generations[-1]
        born = Messages.joined([_followed(parents, network, users, rng), _answered(parents, before, network, users, rng)])
        before += len(parents.time)
        generations.append(born.take(born.time < end))
    return Messages.joined(generations)


def _followed(parents: Messages, network: Network, users: Users, rng: np.random.Generator) -> Messages:
    """Draw the messages with which senders follow up their own."""
    at = np.repeat(np.arange(len(parents.time)), rng.poisson(network.self_excited, len(parents.time)))
    source = parents.source[at]
    time = parents.time[at] + rng.exponential(network.self_delay, len(at))
    same = rng.random(len(at)) < network.same_partner
    born = Messages.unasked(source, np.where(same, parents.target[at], _partners(network, users, source, rng)), time)
    return born.take(rng.random(len(at)) < users.pace(source, time, network.slow_to))


def _answered(parents: Messages, before: int, network: Network, users: Users, rng: np.random.Generator) -> Messages:
    """Draw the answers of those who are there; `before`: messages of earlier generations."""
    median, sigma = network.answer_delay
    time = parents.time + median * np.exp(rng.normal(0, sigma, len(parents.time)))
    source = parents.target
    ready = users.answers[source] * users.pace(source, time, network.slow_to)
    return Messages(source, parents.source, time, before + np.arange(len(time))).take(rng.random(len(source)) < ready)
