"""Time VUS against a plain transcription of its definition: 16,000 steps, 4 segments, widths 0 to 100, 250 thresholds.

Run by hand: `OMP_NUM_THREADS=1 python tests/benchmarks/bench_vus.py [steps] [buffer]`. Prints times, their ratio (80 at
least) and the difference (1e-8 at most), and the time of a bootstrap over pooled entities.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from metrics.plain_vus import picks, plain_vus

from bench.metrics import vus
from bench.metrics.volume import pooled, vus_of

SEGMENTS, LENGTH = 4, 400


def series(steps):
    rng = np.random.default_rng(1)
    y = np.zeros(steps, int)
    for first in np.linspace(0, steps, SEGMENTS + 2).astype(int)[1:-1]:
        y[first : first + LENGTH] = 1
    return y, rng.normal(size=steps) + y


def timed(run, times):
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        value = run()
        took.append(time.perf_counter() - begun)
    return min(took), value


def bootstrap(entities=1_000, steps=300, buffer=24, draws=200):
    rng = np.random.default_rng(2)
    parts = [(np.arange(steps) // 8 == rng.integers(0, steps // 4), rng.random(steps)) for _ in range(entities)]
    weights = rng.multinomial(entities, np.full(entities, 1 / entities), draws)
    took, values = timed(lambda: vus_of(pooled(parts, buffer), weights), 1)
    print(f"bootstrap: {draws} draws of {entities:,} entities x {steps} steps, W {buffer}: {took:.2f} s, sd {values['vus_pr'].std():.4f}")


def main():
    steps, buffer = ([int(arg) for arg in sys.argv[1:]] + [16_000, 100][len(sys.argv) - 1 :])[:2]
    y, score = series(steps)
    fast, ours = timed(lambda: vus(y, score, buffer), 7)
    slow, theirs = timed(lambda: plain_vus([(y, score)], buffer, picks(score)), 1)
    off = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    print(f"plain {slow:.2f} s, bench {1000 * fast:.1f} ms: ratio {slow / fast:.0f}; largest difference {off:.1e}")
    bootstrap()
    assert off < 1e-8
    assert slow / fast >= 80


if __name__ == "__main__":
    main()
