"""Isolation forests beside scikit-learn's: processor time of one entity, and how far apart their mean scores lie.

python tests/benchmarks/bench_forests.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.ensemble import IsolationForest

from bench.api import Array
from bench_plugins._isolation import anomaly, grown

CASES = ((300, 0.5, 4, 256), (4_000, 0.15, 96, 256), (22_000, 0.15, 96, 256))
"""Steps, share of them that is learnt from, steps of a window, windows a tree."""
SEEDS = 20


def theirs(windows: Array, learnt: Array, samples: int, seed: int) -> Array:
    """Score by scikit-learn's forest."""
    forest = IsolationForest(n_estimators=100, max_samples=samples, random_state=seed, n_jobs=1)
    return np.asarray(-forest.fit(learnt).score_samples(windows))


def mine(windows: Array, learnt: Array, samples: int, seed: int) -> Array:
    """Score by the project's."""
    return anomaly(grown(learnt, 100, samples, 1.0, seed).lengths(windows), samples)


def timed(score: Callable[..., Array], *given: object) -> tuple[float, Array]:
    """Return the median milliseconds of a forest, and the scores of each seed."""
    took, found = [], []
    for seed in range(SEEDS):
        began = time.process_time()
        found.append(score(*given, seed))
        took.append(1_000 * (time.process_time() - began))
    return float(np.median(took)), np.array(found)


def main() -> None:
    """Print a line for each case."""
    print("steps  window  scikit-learn, ms  here, ms  largest distance of the mean scores, in standard errors")
    for steps, share, width, most in CASES:
        rng = np.random.default_rng(0)
        walk = rng.poisson(2, steps).astype(float) if steps < 1_000 else np.cumsum(rng.normal(size=steps))
        windows = sliding_window_view(walk, width)
        learnt = windows[: int(share * steps) - width + 1]
        (slow, one), (quick, other) = (timed(f, windows, learnt, min(most, len(learnt))) for f in (theirs, mine))
        apart = np.abs(one.mean(axis=0) - other.mean(axis=0)) / np.sqrt((one.var(axis=0) + other.var(axis=0)) / SEEDS)
        print(f"{steps:>5,}  {width:>6}  {slow:>16.1f}  {quick:>8.1f}  {apart.max():.1f} (mean {apart.mean():.1f})")


if __name__ == "__main__":
    main()
