"""Samplers beside the core's TPE: points at random, and points spread evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from optuna.distributions import BaseDistribution

from bench.api import Params, Sampler, hookimpl
from bench.tune.search import at


class Random(Sampler):
    """Draw each parameter by itself, as its distribution has it: what a search has to beat (Bergstra and Bengio, 2012)."""

    name: ClassVar[str] = "random"

    def ask(
        self, space: Mapping[str, BaseDistribution], finished: Sequence[tuple[Params, float]], n: int, *, seed: int, higher: bool
    ) -> list[Params]:
        """Draw `n` trials; scores change nothing."""
        points = np.random.default_rng(seed).random((n, len(space)))
        return [_point(space, point.tolist()) for point in points]


class Sobol(Sampler):
    """Go on along one scrambled Sobol sequence of the space (Sobol' 1967, Owen 1998): trials that leave no gap."""

    name: ClassVar[str] = "sobol"

    def ask(
        self, space: Mapping[str, BaseDistribution], finished: Sequence[tuple[Params, float]], n: int, *, seed: int, higher: bool
    ) -> list[Params]:
        """Take the next `n` points; the sequence is that of the space's names, so that batches fit together."""
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(space), seed=int.from_bytes("/".join(sorted(space)).encode()[-4:], "big"))
        sequence.fast_forward(len(finished))
        return [_point(space, point.tolist()) for point in sequence.random(n)]


def _point(space: Mapping[str, BaseDistribution], point: Sequence[float]) -> Params:
    return {name: at(space[name], u) for name, u in zip(sorted(space), point, strict=True)}


@hookimpl
def bench_samplers() -> list[type[Sampler]]:
    """Offer both."""
    return [Random, Sobol]
