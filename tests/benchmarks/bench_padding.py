"""Padding: the useful share of bucketed batches, and their time against PackedSequence, as ratios in one run.

Run by hand: `python tests/benchmarks/bench_padding.py [rows]`. The target is a useful share of 90 % on Pareto lengths.
One epoch of the default LSTM (forward and backward, one thread) is timed on the same rows, in interleaved rounds.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from bench.neural.batches import Sequences, batches, useful_share
from bench_plugins.lstm import Net

BATCH, LONGEST, F, ROUNDS = 32, 256, 8, 3


def pareto(n):
    return np.floor(np.random.default_rng(0).pareto(1.2, n) + 1).astype(np.int64)


def at_random(lengths):
    return np.array_split(np.random.default_rng(0).permutation(len(lengths)), -(-len(lengths) // BATCH))


def rows_of(lengths):
    offsets = np.r_[0, np.cumsum(lengths)]
    features = np.random.default_rng(1).normal(size=(offsets[-1], F)).astype(np.float32)
    n = len(lengths)
    return Sequences(offsets, features, np.zeros((n, 0), np.float32), np.zeros((n, 1), np.float32))


def packed(net, x, length):
    """Run the same layers on a PackedSequence; returns [n, 1]."""
    steps = pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False)
    steps, _ = net.lower(steps)
    _, (last, _) = net.upper(steps)  # [1, n, hidden // 2]
    return net.dense(last[0])


def epoch(net, rows, cut, run):
    began = time.perf_counter()
    for batch in cut:
        x, length = (torch.from_numpy(part) for part in rows.padded(batch))
        run(net, x, length).square().sum().backward()
    return time.perf_counter() - began


def main():
    lengths = pareto(20_000)
    print(f"useful share, Pareto(1.2), 20,000 rows, batch {BATCH}: {useful_share(lengths, batches(lengths, BATCH, 0)):.1%}")
    print(f"  the same in random batches: {useful_share(lengths, at_random(lengths)):.1%}")
    torch.set_num_threads(1)
    lengths = np.minimum(pareto(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000), LONGEST)
    rows, net = rows_of(lengths), Net(F, 1, 128, 0.0)
    ways = {
        "bucketed, right-padded": (batches(lengths, BATCH, 0), lambda net, x, length: net(x, length)),
        "bucketed, packed": (batches(lengths, BATCH, 0), packed),
        "random batches, packed": (at_random(lengths), packed),
        "random batches, right-padded": (at_random(lengths), lambda net, x, length: net(x, length)),
    }
    took = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (cut, run) in ways.items():
            took[name].append(epoch(net, rows, cut, run))
    ours = statistics.median(took["bucketed, right-padded"])
    print(f"one epoch of {len(lengths):,} rows, longest {lengths.max()}:")
    for name, seconds in took.items():
        print(f"  {name:28} {statistics.median(seconds):7.2f} s   {statistics.median(seconds) / ours:5.2f} x")


if __name__ == "__main__":
    main()
