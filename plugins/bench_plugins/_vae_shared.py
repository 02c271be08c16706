"""What the variational autoencoders of both frameworks have in common: sizes, search space, and random numbers that stay the same.

With common draws for all rows and calls, the quantiles of a sampled forecast depend on the row alone.
"""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bench.api import Array, Params

NOISE = 0.1
"""Variance of what is reconstructed, of standardised numbers, about its mean."""
LEAST = 0.01
"""Smallest spread of a forecast, in scales."""
SPAN = 32
"""Last steps of a user's past that are read."""
HIDDEN = 0.5
"""Share of a history's items that is hidden in training (Liang et al. 2018)."""
DRAWS = 100
"""Futures that a forecast is made from."""


def space() -> dict[str, BaseDistribution]:
    """Return sizes, the weight of the divergence and the optimiser's two numbers."""
    return {
        "hidden": IntDistribution(32, 256, log=True),
        "latent": IntDistribution(2, 32, log=True),
        "beta": FloatDistribution(0.01, 10.0, log=True),
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "batch": CategoricalDistribution((32, 64, 128)),
    }


def default() -> Params:
    """Return dense 64 -> 32 -> latent of 8 -> 32 -> 64; Adam at 3e-3, batch 32."""
    return {"hidden": 64, "latent": 8, "beta": 1.0, "lr": 3e-3, "batch": 32}


def normal(width: int) -> Array:
    """Draw standard normal latents, float32 [S, width]; each draw stands beside its mirror image."""
    half = np.random.default_rng(0).standard_normal((DRAWS // 2, width))
    return np.concatenate([half, -half]).astype(np.float32)


def laplace(steps: int) -> Array:
    """Draw standard Laplace noise, float32 [S, steps]: at each step a shuffle of evenly spaced quantiles."""
    level = (np.random.default_rng(1).permuted(np.tile(np.arange(DRAWS), (steps, 1)), axis=1).T + 0.5) / DRAWS - 0.5
    return np.asarray(-np.sign(level) * np.log1p(-2 * np.abs(level)), np.float32)


def ranks(levels: tuple[float, ...]) -> tuple[Array, Array, Array]:
    """Describe between which two ordered draws each quantile lies, int64 [Q] each, and how far behind the first, float32 [Q].

    Draw k of S stands for the level (k + 1/2) / S (Hazen 1914).
    """
    rank = np.clip(np.array(levels) * DRAWS - 0.5, 0, DRAWS - 1)
    low = np.floor(rank).astype(np.int64)
    return low, np.minimum(low + 1, DRAWS - 1), (rank - low).astype(np.float32)
