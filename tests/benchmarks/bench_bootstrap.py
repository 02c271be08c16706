"""Time the paired bootstrap of a churn board: all metrics, skill and distances of many models, as a run computes them.

Run by hand: `python tests/benchmarks/bench_bootstrap.py [models] [users] [draws]`. Prints the time and the processor time,
which other work on the machine does not change: on two free cores the first is little more than half of the second. The
budget is 5 s on two cores for 20 models, 25,000 users and 1,000 draws.
"""

import sys
import time

import numpy as np

from bench.board.statistics import compare
from bench.execute.machine import cores
from bench.metrics.churn import METRICS, ranked
from bench.tasks.churn.rows import RANKING


def models(count, users, rng):
    """Make predictions of one truth: most are told apart by their digits, as networks' are, some are coarse, as counts are."""
    y = (rng.random(users) < 0.6).astype(int)
    for k in range(count):
        p = 1 / (1 + np.exp(-(y - 0.5 + rng.normal(scale=1 + k / 10, size=users))))
        yield f"m{k}", ranked(y, np.round(p, 2) if k % 5 == 4 else p, 0.6)


def main():
    count, users, n_draws = ([int(arg) for arg in sys.argv[1:]] + [20, 25_000, 1_000][len(sys.argv) - 1 :])[:3]
    scorers = dict(models(count, users, np.random.default_rng(1)))
    began, used = time.perf_counter(), time.process_time()
    found = compare(scorers, np.arange(users), RANKING, reference="m0", leader_among=scorers, seed=0, n_draws=n_draws)
    took, used = time.perf_counter() - began, time.process_time() - used
    assert all(set(one.metrics) == set(METRICS) and one.metrics["roc_auc"].low < one.metrics["roc_auc"].high for one in found.values())
    sys.stdout.write(
        f"{count} models, {users:,} users, {n_draws:,} draws, {len(METRICS)} metrics: {took:.2f} s on {cores()} cores, "
        f"{used:.2f} s of processor time\n"
    )


if __name__ == "__main__":
    main()
