"""The search: Optuna, ask-and-tell, in batches of a fixed size, rebuilt from finished trials before every batch.

Batch and sampler seed depend on the protocol alone, never on the number of workers or on what was resumed: the same
finished trials always give the same next batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.execute.jobs import stable_seed

BATCH = 4
"""Trials asked together: part of the protocol."""
STARTUP = 4
"""Trials drawn at random before the sampler models them."""


def ask(
    space: Mapping[str, str],
    default: Mapping[str, Any],
    finished: Sequence[tuple[Mapping[str, Any], float]],
    batch: int,
    *,
    base: int,
    cell: str,
    size: int = BATCH,
    higher: bool = True,
) -> list[dict[str, Any]]:
    """Draw the parameters of batch `batch`; `finished` holds (parameters, objective) of all earlier trials, by number.

    `higher`: higher objectives are better. A failed trial must be given its task's penalty, never left out.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: optuna.distributions.json_to_distribution(text) for name, text in space.items()}
    sampler = optuna.samplers.TPESampler(seed=stable_seed(base, cell, batch), n_startup_trials=STARTUP)
    study = optuna.create_study(direction="maximize" if higher else "minimize", sampler=sampler)
    study.add_trials(
        [optuna.trial.create_trial(params=dict(params), distributions=distributions, value=value) for params, value in finished]
    )
    if batch == 0:
        study.enqueue_trial(dict(default))
    return [dict(study.ask(distributions).params) for _ in range(size)]
