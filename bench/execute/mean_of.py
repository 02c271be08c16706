"""One model of several configurations: each is fitted, and their predictions are averaged.

Its parameters are `{"mean_of": [...]}`. Whoever makes a model from stored parameters calls `make`, so that fitting,
loading, predicting and running again treat such a model as any other.

Letters for shapes: K configurations, N rows, T steps.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Context, Model
from bench.data.panel import Forecast, Panel

KEY = "mean_of"
"""The parameter that no plugin may have."""


def params_of(configurations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters that stand for the mean of configurations; of one, its own."""
    return {KEY: [dict(one) for one in configurations]} if len(configurations) > 1 else dict(configurations[0])


def configurations(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the configurations that parameters stand for: one, or those of a mean."""
    return [dict(one) for one in params[KEY]] if KEY in params else [dict(params)]


def counted(params: Mapping[str, Any]) -> list[tuple[dict[str, Any], int]]:
    """List the configurations that differ, each with how often it counts in the mean."""
    every, found = configurations(params), list[tuple[dict[str, Any], int]]()
    for one in every:
        found += [] if any(one == other for other, _ in found) else [(one, every.count(one))]
    return found


def fitted(params: Mapping[str, Any]) -> int:
    """Count the configurations that are fitted: one that counts several times in a mean is fitted once."""
    return len(counted(params))


def make(
    model_class: Callable[[Mapping[str, Any]], Model],
    params: Mapping[str, Any],
    seed: Callable[[], None] = lambda: None,
    taken: Mapping[int, Path] | None = None,
) -> Any:
    """Make a model; `seed` seeds the global generators before each of several fits, as it does before one.

    `taken`: configurations that were fitted on the same data with the same seed before, by where they are saved; they are loaded.
    """
    if KEY not in params:
        return model_class(params)
    found: list[dict[str, Any]] = []
    made: list[Model] = []
    for one in configurations(params):
        # one that counts several times is fitted once
        made.append(made[found.index(one)] if one in found else model_class(one))
        found.append(one)
    return (ExplainedMeanOf if all(hasattr(model, "contributions") for model in made) else MeanOf)(made, seed, taken or {})


def first(model: Any) -> Any:
    """Return the model itself; of a mean the first of its configurations, which stands for all where no mean can be taken."""
    return model.models[0] if isinstance(model, MeanOf) else model


class MeanOf:
    """Several configurations of a model that answer together, as one model does; the same one may count several times."""

    def __init__(self, models: Sequence[Model], seed: Callable[[], None], taken: Mapping[int, Path]) -> None:
        self.models, self._seed, self._taken = models, seed, taken

    def fit(self, train: Any, ctx: Context) -> None:
        """Fit one configuration after the other, but for those that are taken over; each has an equal share of the time that is left."""
        for at, folder in self._taken.items():
            self.models[at].load(folder)
        there = {id(self.models[at]) for at in self._taken}
        left = [model for model in {id(model): model for model in self.models}.values() if id(model) not in there]
        for done, model in enumerate(left):
            now = time.monotonic()
            self._seed()
            model.fit(train, replace(ctx, deadline=now + (ctx.deadline - now) / (len(left) - done)))

    def predict(self, inputs: Any, ctx: Context) -> Any:
        """Return the mean: of probabilities, of each quantile, or of scores in standard deviations of those learnt from."""
        each = {id(model): model.predict(inputs, ctx) for model in self.models}
        found = [each[id(model)] for model in self.models]
        if isinstance(found[0], Forecast):
            return _mean_forecast([one.arrays() for one in found])
        if isinstance(inputs, Panel):
            from bench.metrics.anomaly import row_standards  # every worker reads this file, few ever average

            step = np.arange(inputs.mask.shape[1])
            learnt = inputs.mask & (step >= inputs.start[:, None]) & (step < inputs.until[:, None])
            found = [row_standards(np.asarray(one, np.float64), inputs.mask, learnt) for one in found]
        return np.mean(found, axis=0)

    def save(self, folder: Path) -> None:
        """Save each configuration in a folder of its own."""
        for at, model in enumerate(self.models):
            own = folder / str(at)
            if at in self._taken:
                shutil.copytree(self._taken[at], own)
                continue
            own.mkdir()
            model.save(own)

    def load(self, folder: Path) -> None:
        """Load what `save` wrote."""
        for at, model in enumerate(self.models):
            model.load(folder / str(at))


class ExplainedMeanOf(MeanOf):
    """Configurations that all give their reasons."""

    def contributions(self, inputs: Any) -> Any:
        """Return the mean of the configurations' reasons."""
        return np.mean([model.contributions(inputs) for model in self.models], axis=0)  # type: ignore[attr-defined]


def _mean_forecast(found: Sequence[Mapping[str, Any]]) -> Forecast:
    mean = np.mean([one["mean"] for one in found], axis=0) if all("mean" in one for one in found) else None
    quantiles = np.mean([one["quantiles"] for one in found], axis=0)
    return Forecast(quantiles, mean, np.any([one["fallback"] for one in found], axis=0))
