"""What boosted trees see of counts: how a step's count differs from the mean that its series' own past foresees, in logs.

Letters for shapes: N series, T steps, P pairs (of a window, which is a series and an origin, and a step ahead), M phases of the
season, L lags, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array
from bench.data.panel import Panel
from bench_plugins._count_means import means
from bench_plugins._lag_features import Pairs, Source, average, known_of

MEMORIES = (0.01, 0.1, 0.3)
"""Shares of the past that are forgotten each step, of the means that are compared with the one that is corrected."""
LEAST = 0.02
"""Added to means, as if so many counts a step had been seen, so that their logs are finite."""
ONE = 0.5
"""The same for single counts."""
SAME = 4
"""Earlier values of the target's own phase of each cycle."""
OLD = 4
"""Windows of a series' past beyond which it is no older: of series that begin together the age is the time that has passed."""
BEGUN = 5.0
"""Counts (in units of a series' variance) that draw a step's common share towards 1."""


@dataclass(frozen=True)
class Laid:
    """The features of P pairs, and the mean that each target is compared with."""

    x: Array
    """float32 [P, F]."""
    offset: Array
    """float64 [P]: log of the aged mean times the factor of the target's phase, both by what lies before the origin."""


class Counts:
    """A panel of counts made ready to be looked up: aged means, and running totals by phase."""

    def __init__(self, panel: Panel, turns: tuple[int, ...], alpha: float, prior: float, *, learnt: bool = False) -> None:
        self.source, self.panel, self.prior = Source(panel, turns, learnt=learnt), panel, prior
        self.level, *self.others = (aged(panel, share) for share in (alpha, *MEMORIES))
        self.totals, self.numbers = _by_phase(panel)

    def lay_out(self, pairs: Pairs, lags: int) -> Laid:
        """Lay out the features of all pairs."""
        base = self.level[pairs.series, pairs.origin] + LEAST
        factor = self._factor(pairs)
        past = self.source.at(pairs.series, pairs.origin[:, None] - np.arange(1, max(lags, 2 * self.source.width, SAME) + 1))

        def against(mean: Array) -> Array:
            return np.asarray(np.log((mean + LEAST) / base))

        def alone(count: Array) -> Array:
            return np.asarray(np.log((count + ONE) / (base + ONE)))

        step, same = pairs.origin + pairs.ahead, []
        for m in self.source.turns:
            back = pairs.ahead[:, None] // m + 1 + np.arange(SAME)
            values = self.source.at(pairs.series, step[:, None] - m * back)
            same += [alone(values[:, 0]), against(average(values))]
        demand = np.where(np.isfinite(past), past != 0, np.nan)
        ago = np.where((hit := demand == 1).any(axis=1), hit.argmax(axis=1), past.shape[1])
        age = np.minimum(pairs.origin - self.panel.start[pairs.series], OLD * self.source.width)
        columns = [
            np.log(base), np.log(factor), average(demand), ago, np.log1p(age), pairs.ahead,
            *(against(other[pairs.series, pairs.origin]) for other in self.others), *same,
            *(against(average(past[:, :k])) for k in (3, self.source.width, 2 * self.source.width)),
            *(alone(past[:, k]) for k in range(lags)),
        ]  # fmt: skip
        x = np.column_stack([np.stack(columns, axis=1), known_of(self.source, pairs)]).astype(np.float32)
        return Laid(x, np.log(base * factor))

    def _factor(self, pairs: Pairs) -> Array:
        """Return the target's phase's share of its series' mean before the origin, [P]; drawn towards 1 where little was counted."""
        m = self.totals.shape[2]
        turns = (pairs.origin[:, None] - np.arange(m) + m - 1) // m  # how often each phase has come
        total, number = (x[pairs.series[:, None], turns, np.arange(m)] for x in (self.totals, self.numbers))
        mean = total.sum(axis=1) / np.maximum(number.sum(axis=1), 1)
        raw = (total + self.prior) / (number * np.where(mean > 0, mean, 1.0)[:, None] + self.prior)
        return np.asarray(raw[np.arange(len(pairs)), (pairs.origin + pairs.ahead) % m] / raw.mean(axis=1))


def aged(panel: Panel, alpha: float) -> Array:
    """Return the mean count of each series before each step, float [N, T + 1]: what is t steps old weighs (1 - alpha) ** t."""
    return means(panel, alpha, np.ones((len(panel), 1)))


def _by_phase(panel: Panel) -> tuple[Array, Array]:
    """Return what was counted, and in how many steps, in the first turns of the season, by phase: float [N, turns + 1, M] each."""
    m = max(panel.season, 1)
    turns, seen = -(-panel.steps // m), panel.mask & (np.arange(panel.steps) >= panel.start[:, None])
    found = []
    for x in (np.where(seen, panel.values, 0.0), seen.astype(float)):
        whole = np.zeros((len(panel), turns * m))
        whole[:, : panel.steps] = x
        running = whole.reshape(len(panel), turns, m).cumsum(axis=1)
        found.append(np.concatenate([np.zeros((len(panel), 1, m)), running], axis=1))
    return found[0], found[1]


def common(step: Array, y: Array, foreseen: Array, weight: Array, season: int) -> Array:
    """Return by how much all series together were above what was foreseen at each target's step, in logs, [P].

    All of one step share it, whatever their features: trees that were to explain it would learn the level's turns of the past. What
    a phase of the season has on average is left out, for that comes again.
    `step`, `y`, `foreseen` (means), `weight`: [P].
    """
    steps = int(step.max(initial=0)) + 1
    counted, expected = (np.bincount(step, weight * x, minlength=steps) for x in (y, foreseen))
    share = np.log((counted + BEGUN) / (expected + BEGUN))
    phase, size = np.arange(steps) % max(season, 1), expected + 1e-12
    usual = np.bincount(phase, size * share) / np.bincount(phase, size)
    return np.asarray((share - usual[phase])[step])
