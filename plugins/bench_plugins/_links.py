"""What models of one Gaussian series at a time share: the history they read, the scale they work on, and the way back.

A link maps values to a scale on which a Gaussian model is sensible (identity, square root or logarithm, then centred and
scaled), and a predictive normal back to quantiles and the mean. All three are monotone, so quantiles map as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from bench.api import Array, Forecast
from bench.data.panel import Panel

LARGEST = 1e300
"""Larger values are cut: their sums and products would overflow."""
BOUND = 1e8
"""Farthest from the centre that a value may lie, in mean absolute deviations: an extreme spike stays finite when squared."""
SIGMA = 1e-4
"""Least standard deviation of a model, in the same units: a perfect fit must not make scores infinite."""
UNKNOWN = 0.5
"""Standard deviation of a step where fewer than two values are known, as a share of the value."""
HEADROOM = 10.0
"""A forecast on the square-root or log scale ends at this multiple of the largest value seen: the way back explodes."""
BLOCK = 12
"""Steps of a block in Guerrero's method where there is no season."""
TRANSFORMS = ("auto", "none", "sqrt", "log")


@dataclass(frozen=True, slots=True)
class History:
    """What a model learns from: the last L steps before each series' `until`, right-aligned."""

    values: Array
    """float64 [N, L]: gaps filled with the last value, 0 before the start."""
    mask: Array
    """bool [N, L]: the value was observed."""
    start: Array
    """int64 [N]: index of the first step of the series in the window."""

    @classmethod
    def of(cls, panel: Panel, most: int) -> History:
        """Cut the last `most` steps before `until` from each series; at least one step, even of an empty panel."""
        prefix = panel.ending(panel.until)
        cut = max(prefix.steps - most, 0)
        lead = int(prefix.steps == 0)
        grow = ((0, 0), (lead, 0))
        values, mask = (np.pad(x[:, cut:], grow) for x in (prefix.values, prefix.mask))
        return cls(values, mask, np.maximum(prefix.start - cut, 0) + lead)

    @property
    def live(self) -> Array:
        """Report the steps from the start on, bool [N, L]."""
        live: Array = np.arange(self.values.shape[1]) >= self.start[:, None]
        return live


@dataclass(frozen=True, slots=True)
class Link:
    """Map values to z = (g(y) - centre) / scale with g(y) = y, sqrt(y) or log(y + shift), and back; arrays are float64 [N]."""

    power: Array
    """1, 0.5 or 0 as in Box & Cox (1964): identity, square root, logarithm."""
    shift: Array
    """Added before the logarithm: 1 for counts, else 0."""
    least: Array
    """Smallest argument of the logarithm; what lies below is cut."""
    centre: Array
    scale: Array
    ceiling: Array
    """Largest g(y) that a forecast may reach; infinite for the identity."""
    counts: bool
    """Whether values cannot be negative."""

    @classmethod
    def of(cls, history: History, transform: str, season: int, *, counts: bool) -> Link:
        """Choose a link per series: `transform` where the values allow it (see `TRANSFORMS`), else the identity."""
        y, live = np.clip(history.values, -LARGEST, LARGEST), history.live
        low, high = np.where(live, y, np.inf).min(axis=1), np.where(live, y, -np.inf).max(axis=1)
        wanted = guerrero(y, live, season) if transform == "auto" else np.full(len(y), {"none": 1.0, "sqrt": 0.5, "log": 0.0}[transform])
        shift = np.full(len(y), float(counts))
        allowed = live.any(axis=1) & np.where(wanted == 0, low + shift > 0, low >= 0)
        power = np.where(allowed, wanted, 1.0)
        least = np.where(allowed & (not counts), low / HEADROOM, 1.0)
        centre, scale = _moments(_raw(y, power, shift, least), live)
        top = _raw(HEADROOM * np.where(allowed, high, 0.0)[:, None], power, shift, least)[:, 0]
        return cls(power, shift, least, centre, scale, np.where(power == 1, np.inf, top), counts)

    def forward(self, y: Array) -> Array:
        """Map values [N, T] to the model's scale, finite and within +-`BOUND`."""
        raw = _raw(np.clip(y, -LARGEST, LARGEST), self.power, self.shift, self.least)
        with np.errstate(over="ignore"):
            return np.clip((raw - self.centre[:, None]) / self.scale[:, None], -BOUND, BOUND)

    def forecast(self, mean: Array, sd: Array, levels: tuple[float, ...], fallback: Array) -> Forecast:
        """Map predictive normals, mean and sd [N, H] on the model's scale, to a `Forecast` at the given levels."""
        m, s = self.centre[:, None] + self.scale[:, None] * mean, self.scale[:, None] * sd
        quantiles = m[..., None] + s[..., None] * ndtri(np.asarray(levels, float))
        return Forecast(self._backward(quantiles), self._expected(m, s), fallback)

    def _backward(self, raw: Array) -> Array:
        """Compute the inverse of g, [N, ...]."""
        power, shift, ceiling = (x.reshape(-1, *[1] * (raw.ndim - 1)) for x in (self.power, self.shift, self.ceiling))
        raw = np.minimum(raw, ceiling)
        root = np.where(power == 0.5, np.maximum(raw, 0.0), 0.0) ** 2
        log = np.exp(np.where(power == 0, raw, 0.0)) - shift
        return self._bounded(np.select([power == 0, power == 0.5], [log, root], raw))

    def _expected(self, m: Array, s: Array) -> Array:
        """Compute E[y] [N, H]: of a log-normal, of the square of a normal cut at 0, of a normal (cut at 0 for counts)."""
        log, root = (self.power == 0)[:, None], (self.power == 0.5)[:, None]
        ceiling = np.where(log | root, self.ceiling[:, None], 0.0)
        ratio = m / np.maximum(s, 1e-9 * np.abs(m) + 1e-300)
        above, density = ndtr(ratio), np.exp(-0.5 * np.minimum(np.abs(ratio), 38.0) ** 2) / np.sqrt(2 * np.pi)
        a, b = np.where(log | root, m, 0.0), np.where(log | root, s, 0.0)
        normal = np.exp(np.where(log, np.minimum(a + b**2 / 2, ceiling), 0.0)) - self.shift[:, None]
        square = np.minimum((a**2 + b**2) * above + a * b * density, ceiling**2)
        return self._bounded(np.select([log, root], [normal, square], m * above + s * density if self.counts else m))

    def _bounded(self, y: Array) -> Array:
        return np.clip(y, 0.0 if self.counts else -LARGEST, LARGEST)


def _raw(y: Array, power: Array, shift: Array, least: Array) -> Array:
    """Compute g(y) [N, T]."""
    log, root = power == 0, power == 0.5
    raw = np.array(y, float)
    raw[log] = np.log(np.maximum(y[log] + shift[log, None], least[log, None]))
    raw[root] = np.sqrt(np.maximum(y[root], 0.0))
    return raw


def _moments(raw: Array, live: Array) -> tuple[Array, Array]:
    """Return mean and mean absolute deviation of the live steps [N], [N]; the scale of a constant is its own size, at least 1."""
    n = np.maximum(live.sum(axis=1), 1)
    centre = np.where(live, raw / n[:, None], 0.0).sum(axis=1)
    spread = np.where(live, np.abs(raw - centre[:, None]) / n[:, None], 0.0).sum(axis=1)
    return centre, np.where(spread > 1e-12 * np.abs(centre), spread, np.maximum(np.abs(centre), 1.0))


def guerrero(y: Array, live: Array, season: int) -> Array:
    """Choose among the powers 1, 0.5, 0 [N] the one that makes sd / mean^(1 - power) of blocks of a season vary least.

    Guerrero, "Time-series analysis supported by power transformations", Journal of Forecasting 12 (1993), 37-48.
    Where fewer than three blocks have a positive mean and a spread, the power is 1.
    """
    size = season if season > 1 else BLOCK
    count = y.shape[1] // size
    if count < 3:
        return np.ones(len(y))
    blocks = y[:, y.shape[1] - count * size :].reshape(len(y), count, size)
    full = live[:, y.shape[1] - count * size :].reshape(blocks.shape).all(axis=2)
    top = np.maximum(np.abs(blocks).max(axis=(1, 2), keepdims=True), 1e-300)
    blocks = blocks / top  # coefficients of variation do not depend on the unit, and squares stay finite
    mean, sd = blocks.mean(axis=2), blocks.std(axis=2, ddof=1)
    good = full & (mean > 1e-9) & (sd > 0)
    variation = [_variation(np.where(good, sd / np.where(good, mean, 1.0) ** (1 - power), 0.0), good) for power in (1.0, 0.5, 0.0)]
    best: Any = np.argmin(variation, axis=0)
    return np.where(good.sum(axis=1) >= 3, np.array([1.0, 0.5, 0.0])[best], 1.0)


def _variation(x: Array, good: Array) -> Array:
    """Compute the coefficient of variation over the good blocks, float64 [N]."""
    n = np.maximum(good.sum(axis=1), 1)
    mean = x.sum(axis=1) / n
    spread = np.sqrt((np.where(good, x - mean[:, None], 0.0) ** 2).sum(axis=1) / n)
    relative: Array = spread / np.maximum(mean, 1e-300)
    return relative


def batches(panel: Panel, rows: int, answer: Callable[[Panel], Forecast | Array]) -> Forecast | Array:
    """Answer a panel `rows` series at a time and put the answers together; an empty panel is one empty batch."""
    starts = range(0, max(len(panel), 1), rows)
    parts = [answer(panel.take(np.arange(at, min(at + rows, len(panel))))) for at in starts]
    forecasts = [part for part in parts if isinstance(part, Forecast)]
    if not forecasts:
        return np.concatenate([np.asarray(part) for part in parts])
    arrays = [part.arrays() for part in forecasts]
    return Forecast(**{name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]})
