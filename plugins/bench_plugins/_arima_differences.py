"""How often to difference: seasonally by the strength of the season, once by KPSS; and whether a drift is left.

Wang, Smith & Hyndman, "Characteristic-based clustering for time series data", Data Mining and Knowledge Discovery 13
(2006) for the strength; Kwiatkowski, Phillips, Schmidt & Shin, "Testing the null hypothesis of stationarity", Journal of
Econometrics 54 (1992). All series at once; a row's answer depends on that row alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array

STRENGTH = 0.64
"""Share of the detrended variance that a season must explain to be differenced away (the usual threshold)."""
KPSS = 0.463
"""Critical value of the test at 5 % (Kwiatkowski et al., table 1)."""
DRIFT = 2.0
"""A mean of the differences counts as drift beyond so many of its standard errors."""
SEASONS = 3
"""Seasons that must be seen before one is modelled."""


@dataclass(frozen=True, slots=True)
class Differences:
    """How N series become stationary."""

    once: Array
    """int64 [N]: 1 where (1 - B) is applied."""
    seasonal: Array
    """int64 [N]: 1 where (1 - B^season) is applied."""
    mean: Array
    """float64 [N]: mean of the differenced series, 0 where it is none."""
    season: int

    @property
    def lost(self) -> Array:
        """Return the number of first steps that the differences use up, int64 [N]."""
        lost: Array = self.once + self.season * self.seasonal
        return lost


def lagged(z: Array, lag: int) -> Array:
    """Shift right along the steps, zeros coming in: [N, L] to [N, L]."""
    out = np.zeros_like(z)
    out[:, lag:] = z[:, : max(z.shape[1] - lag, 0)]
    return out


def difference(z: Array, start: Array, how: Differences) -> tuple[Array, Array]:
    """Difference z [N, L]: (the stationary series less its mean [N, L], whether a step has one [N, L]); 0 where not."""
    w = z - how.seasonal[:, None] * lagged(z, how.season)
    w = w - how.once[:, None] * lagged(w, 1)
    live = np.arange(z.shape[1]) >= (start + how.lost)[:, None]
    return np.where(live, w - how.mean[:, None], 0.0), live


def choose(z: Array, start: Array, season: int, trend: str, seasonal: str) -> Differences:
    """Choose the differences of each series.

    z: float64 [N, L], right-aligned; start: int64 [N]; `trend` and `seasonal` are auto, always or never. Nothing is
    differenced by a season of which fewer than `SEASONS` were seen.
    """
    n, steps = z.shape
    long = steps - start >= SEASONS * season + 1
    live = np.arange(steps) >= start[:, None]
    if season <= 1 or seasonal == "never":
        by_season = np.zeros(n, np.int64)
    else:
        strong = strength(z, live, season) > STRENGTH if seasonal == "auto" else np.ones(n, bool)
        by_season = (strong & long).astype(np.int64)
    nothing = np.zeros(n, np.int64)
    w, live = difference(z, start, Differences(nothing, by_season, np.zeros(n), season))
    once = (kpss(w, live) > KPSS).astype(np.int64) if trend == "auto" else np.full(n, int(trend == "always"))
    w, live = difference(z, start, Differences(once, by_season, np.zeros(n), season))
    return Differences(once, by_season, mean_of(w, live, once + by_season), season)


def mean_of(w: Array, live: Array, order: Array) -> Array:
    """Return the mean to model [N]: always without differences, where significant after one, never after two."""
    n = np.maximum(live.sum(axis=1), 1)
    mean = np.where(live, w, 0.0).sum(axis=1) / n
    error = np.sqrt(long_run_variance(np.where(live, w - mean[:, None], 0.0), n) / n)
    keep = (order == 0) | ((order == 1) & (np.abs(mean) > DRIFT * error))
    return np.where(keep, mean, 0.0)


def strength(z: Array, live: Array, season: int) -> Array:
    """Measure the season's strength, 1 - var(rest) / var(season + rest) [N], around a centred moving average."""
    n, steps = z.shape
    count = steps // season
    if count < 2:
        return np.zeros(n)
    half = season // 2
    total = np.cumsum(np.pad(z, ((0, 0), (1, 0))), axis=1)
    inner = total[:, 2 * half + 1 :] - total[:, : -2 * half - 1]
    if season % 2 == 0:
        inner = inner - (z[:, : -2 * half] + z[:, 2 * half :]) / 2  # both ends of an even window count half
    trend = np.zeros_like(z)
    trend[:, half : steps - half] = inner / season
    known = live & (np.arange(steps) < steps - half) & ~lagged(~live, half) & (np.arange(steps) >= half)
    rest = np.where(known, z - trend, 0.0)
    shape = (n, count, season)
    rest, known = (x[:, steps - count * season :].reshape(shape) for x in (rest, known))
    rest = rest - rest.sum(axis=(1, 2), keepdims=True) / np.maximum(known.sum(axis=(1, 2), keepdims=True), 1)
    rest = np.where(known, rest, 0.0)
    cycle = rest.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    left = (np.where(known, rest - cycle[:, None, :], 0.0) ** 2).sum(axis=(1, 2))
    share: Array = 1 - left / np.maximum((rest**2).sum(axis=(1, 2)), 1e-12)
    return np.maximum(share, 0.0)


def kpss(w: Array, live: Array) -> Array:
    """Compute the KPSS statistic of level stationarity [N]; 0 for a constant."""
    n = np.maximum(live.sum(axis=1), 1)
    mean = np.where(live, w, 0.0).sum(axis=1) / n
    e = np.where(live, w - mean[:, None], 0.0)
    partial = np.where(live, np.cumsum(e, axis=1), 0.0)
    variance = long_run_variance(e, n)
    return np.where(variance > 1e-12, (partial**2).sum(axis=1) / (n**2 * np.maximum(variance, 1e-12)), 0.0)


def long_run_variance(e: Array, n: Array) -> Array:
    """Estimate the long-run variance [N] of e [N, L], zero outside its n steps: Bartlett weights, 4 (n / 100)^(1/4) lags."""
    lags = np.floor(4 * (n / 100) ** 0.25)
    total = (e**2).sum(axis=1)
    for lag in range(1, int(lags.max(initial=0)) + 1):
        weight = np.maximum(1 - lag / (lags + 1), 0.0)
        total = total + 2 * weight * (e * lagged(e, lag)).sum(axis=1)
    variance: Array = total / n
    return np.maximum(variance, 0.0)
