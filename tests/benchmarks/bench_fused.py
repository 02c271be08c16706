"""Fits that share shapes, one after another against all as one program, on a CPU: CPU seconds as a ratio in one run.

    python tests/benchmarks/bench_fused.py [LOG] [--model vae ...] [--members 2,4,8] [--repeat 3]
    python tests/benchmarks/bench_fused.py --shares

The log is a retail log, such as CDNOW's master; without a path the simulated shop. Default churn profile (20,000 rows, 32 steps,
5 epochs), one thread; members differ in learning rate, in dropout or in the weight of the divergence, and in seed. The AUC shows
that both learn: they are not the same trainings, since one program shows all of its members the same rows.

`--shares` counts, without fitting anything, which share of a search's 20 trials has company of its own shapes in its batch of
four: 30 searches of each shipped network's space, scored by a smooth function with one optimum, to which the sampler is drawn.
"""

from __future__ import annotations

import argparse
import collections
import math
import time
from typing import Any

import numpy as np
import torch
from bench_training import SHORT, events
from optuna.distributions import distribution_to_json
from sklearn.metrics import roc_auc_score

from bench.api import Context
from bench.neural.together import fit_together
from bench.registry import discover, models
from bench.tasks.churn.task import Churn
from bench.tune import search

NETWORKS = ("vae", "lstm", "self-attention")
FREE = {"lr", "dropout", "beta", "patience", "clip"}
"""Parameters in which members of one program may differ."""


def kind_of(name: str) -> Any:
    """Load a model."""
    return models(discover().sources["bench.models"][name])[name]


def made(kind: Any, count: int) -> tuple[list[Any], list[Context]]:
    """Make members about the default."""
    default = {**kind.default(), **({"context": "features"} if kind.name == "vae" else {})}
    found = []
    for k in range(count):
        params = {**default, "lr": default["lr"] * 2 ** (k % 3 - 1)}
        for name in ("dropout", "beta"):
            if name in params:
                params[name] = params[name] * (1 + k % 4) / 2
        found.append(kind(params))
    contexts = [Context(seed=k, horizon=91.0, epochs=SHORT.epochs, history=SHORT.history, rows=SHORT.rows) for k in range(count)]
    return found, contexts


def compared(name: str, count: int, final: Any, truth: Any) -> tuple[float, float, float, float]:
    """Return CPU seconds one after another and as one program, and the mean AUC of both."""
    (alone, contexts), (fused, _) = made(kind_of(name), count), made(kind_of(name), count)
    began = time.process_time()
    for model, ctx in zip(alone, contexts, strict=True):
        model.fit(final.train, ctx)
    between = time.process_time()
    ended = fit_together(fused, final.train, contexts)
    took = time.process_time() - between
    if any(e.error for e in ended):
        raise SystemExit(f"{name}: {[e.error for e in ended]}")
    scores = [np.mean([roc_auc_score(truth, m.predict(final.parts[0], contexts[0])) for m in group]) for group in (alone, fused)]
    return between - began, took, *map(float, scores)


def shares(name: str) -> float:
    """Return the share of trials that another trial of the same batch could share a program with."""
    kind, rng, found = kind_of(name), np.random.default_rng(0), []
    space = kind.space()
    texts = {key: distribution_to_json(one) for key, one in space.items()}
    for seed in range(30):
        best, finished = {key: search.at(one, rng.random()) for key, one in sorted(space.items())}, []
        for batch in range(5):
            asked = search.ask(texts, kind.default(), finished, batch, seed=seed)
            groups = collections.Counter(tuple(p[key] for key in sorted(p) if key not in FREE) for p in asked)
            found.append(sum(n for n in groups.values() if n > 1) / len(asked))
            finished += [(p, 0.05 * rng.standard_normal() - sum(departure(space[key], p[key], best[key]) for key in p)) for p in asked]
    return float(np.mean(found))


def departure(one: Any, value: Any, best: Any) -> float:
    """Return how far a value lies from the optimum: squared, in units of the range."""
    if hasattr(one, "choices"):
        return 0.0 if value == best else 0.3
    unit = math.log if one.log else float
    return ((unit(value) - unit(best)) / (unit(one.high) - unit(one.low))) ** 2


def main() -> None:
    """Print a line for each model and number of members."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", nargs="?")
    parser.add_argument("--model", action="append")
    parser.add_argument("--members", default="2,4,8")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--shares", action="store_true")
    asked = parser.parse_args()
    if asked.shares:
        for name in asked.model or ("lstm", "seq2seq", "self-attention", "vae"):
            print(f"{name:15} {shares(name):.1%} of trials could share a program", flush=True)
        return
    torch.set_num_threads(1)
    split = Churn().split(events(asked.log), {"horizon": "91d"}, SHORT, 0)
    final, truth = split.stages["final"], split.truths["final"].y
    for name in asked.model or NETWORKS:
        for count in map(int, asked.members.split(",")):
            pairs = np.array([compared(name, count, final, truth) for _ in range(asked.repeat)])
            ratios, (alone, fused, *auc) = pairs[:, 0] / pairs[:, 1], pairs.mean(0)
            print(
                f"{name:15} {count:2} members: {alone:6.1f} s one after another, {fused:6.1f} s as one program: "
                f"{np.median(ratios):.2f} x ({ratios.min():.2f} to {ratios.max():.2f}); AUC {auc[0]:.4f} and {auc[1]:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
