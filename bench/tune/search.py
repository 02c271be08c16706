"""The search: Optuna, ask-and-tell, in batches of a fixed size, rebuilt from finished trials before every batch.

Batch and sampler seed depend on the data, the task and the model alone, never on a file's name, the number of workers or
what was resumed: the same finished trials always give the same next batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.api import Sampler
from bench.errors import PluginError
from bench.execute.jobs import stable_seed

BATCH = 4
"""Trials asked together: part of the protocol."""
STARTUP = 4
"""Trials before the sampler models them: the default, a portfolio's or spread points."""


@dataclass(frozen=True)
class Pruned:
    """What is known of a trial that was stopped at a rung."""

    epoch: int
    loss: float


def ask(
    space: Mapping[str, str],
    default: Mapping[str, Any],
    finished: Sequence[tuple[Mapping[str, Any], float | Pruned]],
    batch: int,
    *,
    seed: int,
    size: int = BATCH,
    higher: bool = True,
    portfolio: Sequence[Mapping[str, Any]] = (),
    sampler: Sampler | None = None,
) -> list[dict[str, Any]]:
    """Choose the parameters of batch `batch`; `finished` holds (parameters, score) of all earlier trials, by number.

    `higher`: higher scores are better. A failed trial must be given its task's penalty, never left out; TPE ranks pruned
    ones behind all others, by how far they came and by their loss there. The first batch is the default, then the portfolio,
    then points spread over the space; the sampler (default: TPE) draws from the second batch on. Raises `PluginError` where a
    plugin's sampler fails.
    """
    if batch == 0:
        firsts = [dict(default), *(dict(params) for params in portfolio if dict(params) != dict(default))]
        return [*firsts, *spread(space, seed, BATCH)][:size]
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: optuna.distributions.json_to_distribution(text) for name, text in space.items()}
    if sampler is not None:
        scored = [(params, value) for params, value in finished if not isinstance(value, Pruned)]
        return proposed(sampler, distributions, scored, seed=stable_seed(seed, batch), higher=higher)[:size]
    tpe = optuna.samplers.TPESampler(seed=stable_seed(seed, batch), n_startup_trials=STARTUP)
    study = optuna.create_study(direction="maximize" if higher else "minimize", sampler=tpe)
    study.add_trials([_finished_trial(dict(params), distributions, value, higher=higher) for params, value in finished])
    return [dict(study.ask(distributions).params) for _ in range(size)]


def _finished_trial(params: dict[str, Any], distributions: Mapping[str, Any], value: float | Pruned, *, higher: bool) -> Any:
    """Make a finished trial of the study; what was seen of a pruned one is turned to its direction."""
    from optuna.trial import TrialState, create_trial

    if isinstance(value, Pruned):
        seen = {value.epoch: -value.loss if higher else value.loss}
        return create_trial(params=params, distributions=dict(distributions), state=TrialState.PRUNED, intermediate_values=seen)
    return create_trial(params=params, distributions=dict(distributions), value=value)


def proposed(
    sampler: Sampler, space: Mapping[str, Any], finished: Sequence[tuple[Mapping[str, Any], float]], *, seed: int, higher: bool
) -> list[dict[str, Any]]:
    """Ask a plugin's sampler for a whole batch, whatever part of it the budget allows; raise `PluginError` for what is none.

    Where less of a batch is wanted its begin is taken: a larger budget goes on where a smaller one ended.
    """
    who = f"sampler {sampler.name!r}"
    try:
        found = [dict(params) for params in sampler.ask(space, finished, BATCH, seed=seed, higher=higher)]
    except Exception as error:
        raise PluginError(f"{who} fails: {type(error).__name__}: {error}") from error
    if len(found) != BATCH:
        raise PluginError(f"{who} gave {len(found)} trials, {BATCH} were asked for")
    for params in found:
        if set(params) != set(space):
            raise PluginError(f"{who} gave parameters {', '.join(sorted(params)) or 'none'}, the space has {', '.join(sorted(space))}")
        for name, value in params.items():
            if not _inside(space[name], value):
                raise PluginError(f"{who} gave {name}={value!r}, which lies outside {space[name]}")
    return found


def _inside(distribution: Any, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))  # noqa: SLF001 - optuna shows no other way
    except (TypeError, ValueError):
        return False


def spread(space: Mapping[str, str], seed: int, n: int) -> list[dict[str, Any]]:
    """Spread `n` points evenly over a space: a scrambled Sobol sequence (Sobol' 1967, Owen 1998), axes in the order of names."""
    import optuna
    from scipy.stats import qmc

    names = sorted(space)
    if not names:
        return [{} for _ in range(n)]
    distributions = {name: optuna.distributions.json_to_distribution(space[name]) for name in names}
    points = qmc.Sobol(len(names), seed=seed).random_base2(max(math.ceil(math.log2(n)), 0))
    return [{name: at(distributions[name], float(u)) for name, u in zip(names, point, strict=True)} for point in points[:n]]


def at(distribution: Any, u: float) -> Any:
    """Return the value at the share `u`, in [0, 1), of a distribution: linear or logarithmic, as it is drawn."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(u * len(distribution.choices))]
    low, high, step = distribution.low, distribution.high, distribution.step
    if isinstance(distribution, FloatDistribution) and step is None:
        return math.exp(math.log(low) + u * math.log(high / low)) if distribution.log else low + u * (high - low)
    if distribution.log:
        value = math.exp(math.log(low - 0.5) + u * math.log((high + 0.5) / (low - 0.5)))
        return min(max(round(value), low), high)
    return low + int(u * (round((high - low) / step) + 1)) * step
