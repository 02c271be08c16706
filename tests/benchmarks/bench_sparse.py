"""Croston-SBA, TSB and ADIDA: our filters over all series at once against statsforecast's, one series after another.

Both give the same means (`tests/plugins/test_forecast_sparse.py`). Usage: python tests/benchmarks/bench_sparse.py [SERIES]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np
from statsforecast import models as peer

from bench_plugins.forecast_sparse import adida, croston_sba, tsb

STEPS, ROUNDS = 300, 5
PAIRS: dict[str, tuple[Callable, object]] = {
    "croston-sba": (croston_sba, peer.CrostonSBA()),
    "tsb": (tsb, peer.TSB(alpha_d=0.1, alpha_p=0.1)),
    "adida": (adida, peer.ADIDA()),
}


def seconds(work: Callable[[], object]) -> float:
    """Measure the processor's seconds of one call."""
    began = process_time()
    work()
    return process_time() - began


def main(series: int) -> None:
    """Print how many times as fast ours are, the median of rounds in which both take turns."""
    rng = np.random.default_rng(0)
    y = rng.poisson(rng.gamma(0.5, 0.6, (series, 1)), (series, STEPS)).astype(float)
    there = np.ones(y.shape, bool)
    for name, (ours, theirs) in PAIRS.items():
        theirs.forecast(y[0], 1)  # compiled where it has to be
        ratios = [seconds(lambda: [theirs.forecast(row, 1) for row in y]) / seconds(lambda: ours(y, there)) for _ in range(ROUNDS)]  # noqa: B023
        print(f"{name:12} {series:,} series of {STEPS} steps: {median(ratios):.2f} x as fast ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
