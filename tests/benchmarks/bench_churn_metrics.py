"""Time the bootstrap of all churn metrics against as many calls of scikit-learn's `roc_auc_score` alone.

Run by hand: `python tests/benchmarks/bench_churn_metrics.py [rows] [draws]`. Prints times, the ratio and peak memory.
"""

import resource
import sys
import time

import numpy as np
from sklearn.metrics import roc_auc_score

from bench.metrics.bootstrap import draws
from bench.metrics.churn import churn_metrics, ranked, score


def ours(y, p, n_draws):
    model = ranked(y, p, 0.5)
    return np.concatenate([score(model, weights)["roc_auc"] for weights in draws(np.arange(len(y)), n_draws, 0)])


def theirs(y, p, n_draws):
    rng = np.random.default_rng(0)
    values = []
    for _ in range(n_draws):
        rows = rng.integers(0, len(y), len(y))
        values.append(roc_auc_score(y[rows], p[rows]))
    return np.array(values)


def main():
    n, n_draws = ([int(arg) for arg in sys.argv[1:]] + [25_000, 1_000][len(sys.argv) - 1 :])[:2]
    rng = np.random.default_rng(1)
    p = rng.random(n)
    y = (rng.random(n) < p).astype(int)
    took = {}
    for name, run in (("all 13 metrics, bench", ours), ("ROC AUC, scikit-learn", theirs)):
        begun = time.perf_counter()
        values = run(y, p, n_draws)
        took[name] = time.perf_counter() - begun
        sys.stdout.write(f"{name}: {took[name]:.2f} s for {n:,} rows x {n_draws:,} draws, sd {values.std():.5f}\n")
    fast, slow = took.values()
    sys.stdout.write(f"ratio {slow / fast:.1f}; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB\n")
    assert abs(churn_metrics(y, p, 0.5)["roc_auc"][0] - roc_auc_score(y, p)) < 1e-12


if __name__ == "__main__":
    main()
