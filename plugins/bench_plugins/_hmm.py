"""A hidden Markov model of users who are active or dormant, in a few classes of rate: its recursions, over all users at once.

    state_k in {active, dormant}: active -> dormant with `leave`, dormant -> active with `back`, once a period
    count_k | active, class r ~ Poisson(rate_r exposure_k);  count_k | dormant = 0;  class ~ `weight`

Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77 (1989); the scaled recursions. Each sequence
begins active: its first event is given. Loops run over periods only; users lie side by side in memory, since classes are few.
Letters: N users, K periods, R classes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import gammaln

from bench.api import Array
from bench_plugins._activity import Activity


@dataclass(frozen=True, slots=True)
class Hmm:
    """The parameters, each float64 [R]."""

    rate: Array
    """Expected active days a period while active."""
    weight: Array
    """Share of the class."""
    leave: Array
    """The same for all classes, as is `back`."""
    back: Array

    def arrays(self) -> dict[str, Array]:
        """Return the parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Filtered:
    """P(state, class | counts so far) after each period, [K, R, N], and what each period's counts had been likely to be, [K, N]."""

    active: Array
    dormant: Array
    scale: Array
    chance: list[Array]
    """P(count | active) in each period, [R, N]."""

    @property
    def log_likelihood(self) -> Array:
        """Sum up the log-likelihood of each user [N]."""
        return np.asarray(np.log(self.scale).sum(axis=0))


def emissions(model: Hmm, seen: Activity, k: int) -> Array:
    """Compute P(count in period k | active) [R, N]; 1 where the count is NaN, unknown. While dormant it is 1 for none and 0 for any."""
    n, exposure = seen.counts[:, k], seen.exposure[:, k]
    chance: Array = np.exp(-model.rate[:, None] * exposure)
    some = np.flatnonzero(n > 0)
    if len(some):
        mean = np.maximum(model.rate[:, None] * exposure[some], 1e-300)
        chance[:, some] *= np.exp(n[some] * np.log(mean) - gammaln(n[some] + 1))
    unknown = np.isnan(n)
    if unknown.any():
        chance[:, unknown] = 1.0
    return chance


def step(model: Hmm, active: Array, dormant: Array) -> tuple[Array, Array]:
    """Move both probabilities [R, N] on by one period."""
    gone, come = active * model.leave[:, None], dormant * model.back[:, None]
    return active - gone + come, dormant + gone - come


def forward(model: Hmm, seen: Activity, *, keep: bool = True) -> Filtered:
    """Filter all users through all periods; `keep` False: only the state after the last one is kept, K = 1."""
    n, periods = seen.counts.shape
    active = np.repeat(model.weight[:, None], n, axis=1)
    dormant = np.zeros_like(active)
    kept_active, kept_dormant, scales, chances = [], [], [], []
    for k in range(periods):
        if k:
            begun, moved = seen.exposure[:, k - 1] > 0, step(model, active, dormant)
            before = active, dormant
            active, dormant = moved if begun.all() else (np.where(begun, new, old) for new, old in zip(moved, before, strict=True))
        chance = emissions(model, seen, k)
        active = active * chance
        dormant = dormant * ~(seen.counts[:, k] > 0)
        scale = np.maximum((active + dormant).sum(axis=0), 1e-300)
        active, dormant = active / scale, dormant / scale
        scales.append(scale)
        kept_active.append(active)
        kept_dormant.append(dormant)
        chances.append(chance)
        if not keep:
            kept_active, kept_dormant, chances = [active], [dormant], [chance]
    return Filtered(np.stack(kept_active), np.stack(kept_dormant), np.stack(scales), chances)


def silent(model: Hmm, seen: Activity, periods: int) -> Array:
    """Compute P(no event in the next `periods` whole periods) [N], by going on with the recursion through empty periods."""
    found = forward(model, seen, keep=False)
    active, dormant = found.active[-1], found.dormant[-1]
    for _ in range(periods):
        active, dormant = step(model, active, dormant)
        active = active * np.exp(-model.rate)[:, None]
    return np.asarray((active + dormant).sum(axis=0))
