"""What a training must reach at each rung to go on: synchronous percentile pruning, decided by the supervisor.

Losses at a rung are compared with those of the trials of earlier batches, which are finished whatever the number of workers.
Successive halving (Jamieson and Talwalkar 2016) stops the worse half; stopping the worst quarter loses less where losses on
a holdout are noisy (Optuna's PercentilePruner). A pruned trial is told to the sampler by its rung and its loss there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.execute.rungs import Rung
from bench.tune.trials import Trial

SHARES = (1 / 3, 2 / 3)
"""Of the epochs, after which is looked."""
KEPT = 75.0
"""Percentile of the losses at a rung beyond which a training stops.

Of `lstm` and `vae` on three simulated churn logs, five epochs, it saves 11 % of all epochs and stops the best of sixteen
configurations in none of six searches; the median saves 24 % and stops it in one (`tests/benchmarks/bench_rungs.py`).
"""
LEAST = 4
"""Trainings that must have come to a rung before anyone is stopped there."""


def rungs_after(trials: Sequence[Trial], percentile: float = KEPT) -> tuple[Rung, ...]:
    """Return what the trainings of the next batch must reach, learnt from all finished trials; nothing where too few have told."""
    curves = [(entry["losses"], entry["epochs"]) for t in trials for entry in list(t.entries.values())[:1] if entry.get("losses")]
    if not curves or len({epochs for _, epochs in curves}) > 1:
        return ()
    epochs = curves[0][1]
    found = []
    for share in SHARES:
        at = math.ceil(share * epochs)
        known = [losses[at - 1] for losses, _ in curves if len(losses) >= at]
        if len(known) >= LEAST and at < epochs:
            found.append(Rung(at, float(np.percentile(known, percentile))))
    return tuple(found)
