"""The matrices of a structural time series model: level, slope, season and an irregular.

Harvey, "Forecasting, structural time series models and the Kalman filter" (1989), chapter 2:

    y_t = level_t + season_t + irregular_t,   level_(t+1) = level_t + slope_t + noise,   slope_(t+1) = keep slope_t + noise

All variances are ratios to that of the irregular, which is worked out when the rest is known (it is "concentrated out").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from bench.api import Array

KEEP = {"local": 1.0, "damped": 0.9}
"""Share of its slope that a trend keeps at each step."""
RETURN = {"returning": 0.9, "slow": 0.98}
"""Share of its distance from a constant that a level keeps at each step: a first-order autoregression."""
TRENDS = ("none", "level", *KEEP, *RETURN)
LEVEL = (1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 10.0)
SLOPE = (1e-6, 1e-4, 1e-2)
SEASON = (1e-6, 1e-4, 1e-2, 0.1)
"""Variance ratios to choose from; the likelihood is flat in them, so a factor of ten is fine enough."""


@dataclass(frozen=True, slots=True)
class Form:
    """The matrices of a model with D states."""

    transition: Array
    """float64 [D, D]."""
    loading: Array
    """float64 [D]: y = loading . state + irregular."""
    noise: Array
    """float64 [3, D]: which states the noises of level, slope and season drive."""
    parameters: int
    """Parameters to choose: variance ratios, and how fast a level returns."""

    @property
    def size(self) -> int:
        """Return the number of states, D."""
        return len(self.loading)

    def ratios(self) -> Array:
        """List the variance ratios to choose from, float64 [G, 3]: those of a part that the form lacks, or holds fixed, are 0."""
        choices = [values if self.noise[part].any() else (0.0,) for part, values in enumerate((LEVEL, SLOPE, SEASON))]
        return np.array(list(product(*choices)))


def build(trend: str, season: int, harmonics: int) -> Form:
    """Build a form: a trend of `TRENDS` (none: a constant; level: no slope) and a season; season 1: none.

    `harmonics` 0 gives dummies, season - 1 states that sum to noise; else pairs of sine and cosine, as many as fit.
    """
    parts = [_trend(trend)]
    if season > 1:
        parts.append(_trigonometric(season, harmonics) if harmonics else _dummies(season))
    size = sum(len(loading) for _, loading, _ in parts)
    transition, loading, noise = np.zeros((size, size)), np.zeros(size), np.zeros((3, size))
    at = 0
    for matrix, load, driven in parts:
        own = slice(at, at := at + len(load))
        transition[own, own], loading[own], noise[:, own] = matrix, load, driven
    return Form(transition, loading, noise, int(noise.any(axis=1).sum()) + (trend in RETURN))


def most_states(forms: list[Form]) -> int:
    """Return the number of states of the largest form."""
    return max(form.size for form in forms)


def _trend(trend: str) -> tuple[Array, Array, Array]:
    """Return (transition, loading, noise) of level and slope."""
    if trend in {"none", "level"}:
        return np.ones((1, 1)), np.ones(1), np.array([[float(trend == "level")], [0.0], [0.0]])
    if trend in RETURN:
        return np.diag([1.0, RETURN[trend]]), np.ones(2), np.array([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    return np.array([[1.0, 1.0], [0.0, KEEP[trend]]]), np.array([1.0, 0.0]), np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])


def _dummies(season: int) -> tuple[Array, Array, Array]:
    """Return the season as the last season - 1 effects; a new one is minus their sum, and noise."""
    matrix = np.eye(season - 1, k=-1)
    matrix[0] = -1.0
    first = np.eye(season - 1)[0]
    return matrix, first, np.stack([0 * first, 0 * first, first])


def _trigonometric(season: int, harmonics: int) -> tuple[Array, Array, Array]:
    """Return the season as rotating pairs, frequency j / season; at half a turn a step the sine is 0 and left out."""
    count = min(harmonics, season // 2)
    size = 2 * count - (2 * count == season)
    matrix = np.zeros((2 * count, 2 * count))
    for j in range(count):
        angle = 2 * np.pi * (j + 1) / season
        pair = slice(2 * j, 2 * j + 2)
        matrix[pair, pair] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    load = np.tile([1.0, 0.0], count)[:size]
    return matrix[:size, :size], load, np.stack([0 * load, 0 * load, np.ones(size)])
