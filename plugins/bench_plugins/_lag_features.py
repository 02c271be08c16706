"""Features of the lag regression: what a series' past before an origin says about one step behind it.

Letters for shapes: N series, T steps, P pairs (of a window, which is a series and an origin, and a step ahead), H horizon,
L lags, K steps of a window, F features, C known features.
Every feature of an amount is taken relative to its own window, (value - anchor) / scale, so that one model serves series
of any size. What lies before a series' start is missing (NaN), which boosted trees take as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array
from bench.data.panel import DAY, KNOWN, Panel
from bench.neural.cycles import cycles

PHASES = 4
"""Values of the same phase of each cycle, 1 to 4 turns back."""
SHORT = 14
"""Steps of the short window where there is no cycle; else it is one turn of the shortest."""
LONG = 48
"""Most steps of the short window."""
BLOCK = 50_000
"""Pairs that are laid out at once."""
YEAR, TWICE = 365.25, 2
"""Days of a year, and turns of a cycle without which nothing is learnt of it."""
FAINT = 0.1
"""Least scale of a window, as a share of the mean size of the demands (values but 0) so far: no noise is blown up."""


@dataclass(frozen=True)
class Pairs:
    """Name P pairs: which series, which origin (the window ends before it), and which step behind it."""

    series: Array
    """int64 [P]."""
    origin: Array
    """int64 [P], 0 to T."""
    ahead: Array
    """int64 [P], 0 to H - 1; 0 is the origin itself."""

    def __len__(self) -> int:
        """Return the number of pairs, P."""
        return len(self.series)

    def part(self, begin: int) -> Pairs:
        """Return one block of pairs."""
        span = slice(begin, begin + BLOCK)
        return Pairs(self.series[span], self.origin[span], self.ahead[span])


@dataclass(frozen=True)
class Laid:
    """The features of P pairs, and the unit in which their targets are measured."""

    x: Array
    """float32 [P, F]."""
    anchor: Array
    """float64 [P]: mean of the last turn of the shortest cycle (of 14 steps where there is none; of at most 48)."""
    scale: Array
    """float64 [P]: mean absolute distance from the anchor over two such windows, or `least`; > 0."""


def turns_of(panel: Panel) -> tuple[int, ...]:
    """Return the cycles that the data show and the metric's season, in steps, the shortest first; (1,) where there is none."""
    return tuple(sorted({*cycles(panel), panel.season} - {0, 1})) or (1,)


class Source:
    """A panel made ready to be looked up by its cycles `turns`: missing values before each start, running sums."""

    def __init__(self, panel: Panel, turns: tuple[int, ...], *, learnt: bool = False) -> None:
        """Lay a panel ready; `learnt` from: what is known in advance of a cycle that it holds less than twice is then left out."""
        self.panel, self.turns = panel, turns
        self.known = panel.known * seen_twice(panel) if learnt else panel.known
        self.width = min(turns[0] if turns[0] > 1 else SHORT, LONG)
        begun = np.arange(panel.steps) >= panel.start[:, None]
        self.values = np.where(begun, panel.values, np.nan)
        self.sizes = _running(np.where(begun, np.abs(panel.values), 0.0))
        self.demands = _running(begun & (panel.values != 0))

    def at(self, series: Array, step: Array) -> Array:
        """Return the values at `step` [P, K] of `series` [P], float64 [P, K]; NaN before the start."""
        found = self.values[series[:, None], np.maximum(step, 0)] if self.panel.steps else np.full(step.shape, np.nan)
        return np.where(step >= 0, found, np.nan)

    def so_far(self, pairs: Pairs) -> tuple[Array, Array]:
        """Return the mean size of each series' demands before the origin, and the share of steps that had one; float64 [P]."""
        demands, size = self.demands[pairs.series, pairs.origin], self.sizes[pairs.series, pairs.origin]
        steps = pairs.origin - self.panel.start[pairs.series]
        return size / np.maximum(demands, 1), demands / np.maximum(steps, 1)


def lay_out(source: Source, pairs: Pairs, lags: int) -> Laid:
    """Lay out the features of all pairs, block by block."""
    parts = [_block(source, pairs.part(begin), lags) for begin in range(0, max(len(pairs), 1), BLOCK)]
    return Laid(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "anchor", "scale")))


def _block(source: Source, pairs: Pairs, lags: int) -> Laid:
    w = source.width
    past = source.at(pairs.series, pairs.origin[:, None] - np.arange(1, max(lags, 4 * w) + 1))  # [P, K], the latest first
    size, share = source.so_far(pairs)
    anchor = np.nan_to_num(average(past[:, :w]))
    spread = np.nan_to_num(average(np.abs(past[:, : 2 * w] - anchor[:, None])))
    scale = np.maximum(spread, least(size, share))
    scale = np.where(scale > 0, scale, 1.0)
    recent = (past - anchor[:, None]) / scale[:, None]
    same = [(_same_phase(source, pairs, m) - anchor[:, None]) / scale[:, None] for m in source.turns]
    phased = [column for x in same for column in (x, average(x)[:, None])]
    long_run = np.stack([anchor / scale, (size * share - anchor) / scale, share], axis=1)
    features = [recent[:, :lags], _rolling(recent, w), _demand(past), *phased, long_run, known_of(source, pairs)]
    return Laid(np.concatenate([*features, pairs.ahead[:, None]], axis=1).astype(np.float32), anchor, scale)


def least(size: Array, share: Array) -> Array:
    """Return the least scale: the mean size of demands times the share of steps without one, and a tenth of it at least.

    A series of rare counts is so measured in demands, not in its own small noise.
    """
    return np.asarray(size * np.maximum(1 - share, FAINT))


def average(x: Array) -> Array:
    """Return the mean of what is not missing in each row [P, K], float64 [P]; NaN where all is."""
    there = np.isfinite(x)
    n = there.sum(axis=1)
    return np.where(n > 0, np.where(there, x, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)


def _running(x: Array) -> Array:
    return np.concatenate([np.zeros((len(x), 1)), np.cumsum(x, axis=1)], axis=1)  # [N, T + 1]


def _rolling(recent: Array, w: int) -> Array:
    """Return means of the window before the last, of the last two and of all, and the mean size, [P, 4]."""
    return np.stack([average(recent[:, w : 2 * w]), average(recent[:, : 2 * w]), average(recent), average(np.abs(recent))], axis=1)


def _demand(past: Array) -> Array:
    """Return the share of steps with a demand, and how many steps ago the last one was, [P, 2]."""
    hit = np.isfinite(past) & (past != 0)
    ago = np.where(hit.any(axis=1), hit.argmax(axis=1), past.shape[1])
    return np.stack([average(np.where(np.isfinite(past), hit, np.nan)), ago], axis=1)


def _same_phase(source: Source, pairs: Pairs, m: int) -> Array:
    """Return the last values of the target's own phase of a cycle of m steps, the latest first, [P, PHASES]."""
    seasons = pairs.ahead[:, None] // m + 1 + np.arange(PHASES)
    return source.at(pairs.series, (pairs.origin + pairs.ahead)[:, None] - m * seasons)


def known_of(source: Source, pairs: Pairs) -> Array:
    """Return what is known in advance of the target's step, [P, C]."""
    known = source.known
    return np.asarray(known[pairs.series if len(known) > 1 else 0, pairs.origin + pairs.ahead])


def seen_twice(panel: Panel) -> Array:
    """Return which columns of what is known in advance trees may learn from, bool [C]: those whose cycle a panel holds twice or more.

    In less than two years the day of the year is but another name for the time that has passed, and what a level did then would be
    foretold for its anniversary, or for what comes right behind it.
    """
    span = float(panel.time[0, panel.steps - 1] - panel.time[0, 0]) / DAY if panel.steps and panel.freq else np.inf
    return np.array([not name.startswith("year") or span >= TWICE * YEAR for name in KNOWN])


def all_steps(panel: Panel) -> Pairs:
    """Name all steps behind the end of all series, series by series: what is asked for in `predict`."""
    series, ahead = np.divmod(np.arange(len(panel) * panel.horizon), max(panel.horizon, 1))
    return Pairs(series, np.full(len(series), panel.steps), ahead)


def drawn(panel: Panel, windows: int | None, most: int, seed: int) -> Pairs:
    """Draw training pairs by `seed`: at most `windows` windows with a past, and at most `most` observed steps behind them.

    The horizon of each window ends within the panel.
    """
    rng, h = np.random.default_rng(seed), panel.horizon
    observed = _running(panel.mask)
    origin = np.arange(1, panel.steps - h + 1)
    series, at = np.nonzero((panel.start[:, None] < origin) & (observed[:, origin + h] > observed[:, origin]))
    kept = _subset(rng, len(series), most if windows is None else min(windows, most))  # each has a step to draw: enough
    series, origin = series[kept], origin[at[kept]]
    pair, ahead = np.nonzero(panel.mask[series[:, None], origin[:, None] + np.arange(h)])
    kept = _subset(rng, len(pair), most)
    return Pairs(series[pair[kept]], origin[pair[kept]], ahead[kept])


def _subset(rng: np.random.Generator, n: int, most: int | None) -> Array:
    """Draw `most` of n without replacement, in order; all where there are no more."""
    return np.arange(n) if most is None or n <= most else np.sort(rng.choice(n, most, replace=False))
