"""Guards around models that are fitted to one series at a time: bounds on history and season, and on what comes out.

Letters for shapes: T steps of one series, H horizon, Q quantiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from bench.api import Array
from bench.data.panel import Forecast, Panel
from bench.neural.cycles import cycles
from bench_plugins.forecast_floors import seasonal_naive

HISTORY = 1000
"""Steps of its own past that a model is fitted to, counted from the end."""
SEASON = 24
"""Longest season that is left to the model itself; a longer one is taken off before the fit and put back after it."""
PATTERN = 10
"""Seasons from which the pattern of a long season is taken, counted from the end."""
TURNS = 4
"""Turns of a cycle that a series must cover before it is believed without having been named."""
SHORTEST = 8
"""Steps below which a series is served by the seasonal naive: AutoETS refuses 6 and less, Theta 3 and less."""
ABSURD = 10.0
"""Ranges of the history (highest less lowest value): a quantile further from the mean, or a mean further outside, is absurd."""
SIGNIFICANT = 1.645
"""Standard errors that the autocorrelation at the season's lag must exceed: Theta's 90 % test for a season."""

Fitted: TypeAlias = tuple[Array, Array]
"""Mean [H] and quantiles [H, Q]."""
Fit: TypeAlias = Callable[[Array, int, int], Fitted]
"""Of values [T], season and horizon."""


def serve(panel: Panel, levels: tuple[float, ...], fit_of: Callable[[int], Fit]) -> Forecast:
    """Forecast each series by the fit that `fit_of` gives for its row; where it cannot, by the seasonal naive, marked in `fallback`.

    Marked are series below 8 steps, those that a fit raises on, absurd or infinite means (the whole forecast is
    replaced), and absurd or infinite quantiles (they become those of the seasonal naive, moved to the model's mean). A series
    that has been constant for 1,000 steps keeps its value, without spread: that is what any of these models says.
    """
    floor = seasonal_naive(panel, levels)
    point, quantiles = np.array(floor.mean), np.array(floor.quantiles)
    marked = panel.lengths < SHORTEST
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the libraries warn of what is checked here
        for n in np.flatnonzero(~marked):
            y = panel.series(int(n))
            if np.ptp(y[-HISTORY:]) == 0:
                point[n], quantiles[n] = y[-1], y[-1]
                continue
            point[n], quantiles[n], marked[n] = _one(y, season_of(panel, int(n)), panel.horizon, fit_of(int(n)), (point[n], quantiles[n]))
    if panel.counts:
        point, quantiles = np.maximum(point, 0.0), np.maximum(quantiles, 0.0)
    return Forecast(quantiles, point, marked)


def season_of(panel: Panel, n: int) -> int:
    """Return the season of one series: the panel's, or, where that has none (1), the shortest cycle that its own past shows, if any."""
    if panel.season > 1:
        return panel.season
    y, found = panel.series(n), cycles(panel.take(np.array([n])))
    return found[0] if found and len(y) >= TURNS * found[0] and is_seasonal(y, found[0]) else 1


def _one(y: Array, season: int, horizon: int, fit: Fit, floor: Fitted) -> tuple[Array, Array, bool]:
    """Return mean [H], quantiles [H, Q], and whether the floor had to help."""
    try:
        mean, quantiles = bounded(y, season, horizon, fit)
    except Exception:  # noqa: BLE001 - the libraries raise bare Exception; the row counts the series that ended so
        return *floor, True
    low, high = y[-HISTORY:].min(), y[-HISTORY:].max()
    reach = ABSURD * max(high - low, np.finfo(float).tiny)
    if not ((mean >= low - reach) & (mean <= high + reach)).all():
        return *floor, True
    if not (np.abs(quantiles - mean[:, None]) <= reach).all():
        return mean, floor[1] - floor[0][:, None] + mean[:, None], True
    return mean, quantiles, False


def bounded(y: Array, season: int, horizon: int, fit: Fit) -> Fitted:
    """Fit to at most 1,000 steps and a season of at most 24.

    A longer season becomes a pattern of means by phase, taken off and put back where the data shows one; a series shorter
    than two seasons is taken as having none.
    """
    if season <= SEASON or len(y) < 2 * season:
        recent = y[-HISTORY:]
        return fit(recent, season if len(recent) >= 2 * season else 1, horizon)
    long = y[-PATTERN * season :]
    pattern = seasonal_pattern(long, season) if is_seasonal(long, season) else np.zeros(season)  # phase 0 follows the end
    behind = pattern[np.arange(-len(long), 0) % season]
    mean, quantiles = fit((long - behind)[-HISTORY:], 1, horizon)
    ahead = pattern[np.arange(horizon) % season]
    return mean + ahead, quantiles + ahead[:, None]


def is_seasonal(y: Array, season: int) -> bool:
    """Test the autocorrelation at the season's lag, as Assimakopoulos and Nikolopoulos (2000) do before they deseasonalise."""
    r = autocorrelations(y, season)
    return bool(abs(r[-1]) > SIGNIFICANT * np.sqrt((1 + 2 * np.sum(r[:-1] ** 2)) / len(y)))


def autocorrelations(y: Array, lags: int) -> Array:
    """Return the autocorrelations of y [T] at lags 1 to `lags`, float [lags], each over the variance of all T steps."""
    off = y - y.mean()
    power = np.abs(np.fft.rfft(off, n=2 * len(off))) ** 2
    r = np.fft.irfft(power)[: lags + 1]
    return np.asarray(r[1:] / r[0])


def seasonal_pattern(y: Array, season: int) -> Array:
    """Return each phase's mean distance from the centred moving average, centred, float [season]; phase 0 follows the end."""
    weights = np.full(season + 1 - season % 2, 1 / season)
    if season % 2 == 0:
        weights[[0, -1]] /= 2
    half = len(weights) // 2
    off = y[half : len(y) - half] - np.convolve(y, weights, mode="valid")
    phase = np.arange(half - len(y), -half) % season
    pattern = np.bincount(phase, off, minlength=season) / np.bincount(phase, minlength=season)
    return np.asarray(pattern - pattern.mean())
