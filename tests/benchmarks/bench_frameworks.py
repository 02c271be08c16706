"""The same two networks in torch and in Keras, on the same data: what each scores, and how long it takes.

    python tests/benchmarks/bench_frameworks.py [CDNOW_sample.txt] [--seeds 5] [--epochs 30]

CDNOW's sample (2,357 customers, H = 91 days, everybody who ever bought; without a path the simulated shop), default
configurations, fitted on both training cut-offs and asked at the last, on one thread of the CPU. The seeds of the two
frameworks draw other numbers: pairs of seeds are no pairs, the spread over seeds says what a difference is worth.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from bench.api import Context, Model
from bench.registry import discover, models
from bench.tasks.base import Split
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES

PAIRS = (("lstm", "keras-lstm"), ("vae", "keras-vae"))
HISTORY = 256


def split(path: str | None) -> Split:
    """Read the log and cut it as a run would."""
    adapter: Any = discover().dataset("retail")
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            adapter.simulate(Path(folder), 1000, 0)
        events = adapter.read(Path(path or folder), {})
    return Churn().split(events, {"horizon": "91d", "eligible": "ever", "cutoffs": "1"}, PROFILES["full"], 0)


def tried(kind: type[Model], final: Any, truth: Any, ctx: Context) -> tuple[float, float, float, float]:
    """Fit and ask once: ROC AUC, log-loss, seconds of both."""
    model, began = kind(kind.default()), time.perf_counter()
    model.fit(final.train, ctx)
    fitted = time.perf_counter()
    p = np.asarray(model.predict(final.parts[0], ctx))
    return float(roc_auc_score(truth, p)), float(log_loss(truth, p)), fitted - began, time.perf_counter() - fitted


def main() -> None:
    """Print a line for each model: mean and spread over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    asked = parser.parse_args()
    cut, registry = split(asked.path), discover()
    final, truth = cut.stages["final"], cut.truths["final"].y
    print(
        f"{cut.task_id}: {len(final.train):,} training rows, {len(truth):,} test rows, {asked.seeds} seeds, at most {asked.epochs} epochs"
    )
    for pair in PAIRS:
        for name in pair:
            kind = models(registry.sources["bench.models"][name])[name]
            contexts = [Context(seed=s, horizon=91.0, epochs=asked.epochs, history=HISTORY) for s in range(asked.seeds)]
            # the first fit of a process pays for its compiled functions: it is not counted
            tried(kind, final, truth, Context(seed=99, horizon=91.0, epochs=1, history=HISTORY))
            auc, loss, fit, ask = zip(*(tried(kind, final, truth, ctx) for ctx in contexts), strict=True)
            spread = statistics.stdev(auc) if len(auc) > 1 else 0.0
            print(
                f"{name:12} AUC {statistics.mean(auc):.4f} (sd {spread:.4f})  log-loss {statistics.mean(loss):.4f}"
                f"  fit {statistics.median(fit):.1f} s  predict {statistics.median(ask):.2f} s"
            )


if __name__ == "__main__":
    main()
