"""The search space and the default of a model for one task: its own, and what the task adds to it (`Model.choices`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.api import Model, Params

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def space_of(model: type[Model], task: str) -> dict[str, BaseDistribution]:
    """Return what a search of the model goes through for a task."""
    return {**model.space(), **distributions(model.choices(task))}


def default_of(model: type[Model], task: str) -> Params:
    """Return the first trial of such a search."""
    return {**model.default(), **first(model.choices(task))}


def distributions(choices: Mapping[str, Sequence[Any]]) -> dict[str, BaseDistribution]:
    """Turn choices into distributions."""
    if not choices:
        return {}
    from optuna.distributions import CategoricalDistribution

    return {name: CategoricalDistribution(values) for name, values in choices.items()}


def first(choices: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the author's default of each choice."""
    return {name: values[0] for name, values in choices.items()}
