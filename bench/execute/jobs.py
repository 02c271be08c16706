"""The unit of work: one fit and predict with given parameters and seed, a pure function of its spec and stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from bench.execute.job_sources import BENCH, digest_of
from bench.execute.rungs import Rung
from bench.execute.task_space import distributions, first
from bench.registry import Source
from bench.tasks.base import StageName


@dataclass(frozen=True)
class Plugin:
    """Describe a model plugin as a worker found it: metadata and space, read once, away from the truth."""

    name: str
    source: Source
    tasks: frozenset[str] = frozenset()
    runtime: str = "none"
    version: str = "?"
    deterministic: bool = False
    causal: bool = True
    local: bool = False
    space: Mapping[str, str] = field(default_factory=dict)
    """Parameter -> optuna distribution as JSON."""
    default: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    """Task -> parameters that it alone adds to the space, the default first."""
    source_hash: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of Python and of the libraries that the plugin's sources import."""
    core_modules: tuple[str, ...] = ()
    """Modules of bench that they import."""
    gpus: int = 0
    insight: bool = False
    """It shows something of itself: `bench.Insight`."""
    status: str = "ok"
    """ok, or why it cannot run: failed, skipped (a library is missing), timeout, crash, oom."""
    reason: str = ""

    def asked(self, task: str) -> Plugin:
        """Return the plugin as one task finds it: what the task adds stands in space and default."""
        own = self.choices.get(task)
        if not own:
            return self
        from optuna.distributions import distribution_to_json

        added = {name: distribution_to_json(one) for name, one in distributions(own).items()}
        return replace(self, space={**self.space, **added}, default={**self.default, **first(own)}, choices={})


@dataclass(frozen=True)
class Limits:
    """Bound one job."""

    seconds: float
    memory_mb: float
    given: str = "default"
    """The limits as the user gave them, for the job's key: a default that follows the machine must not change keys."""
    alone: bool = False
    """No other job runs meanwhile: on a GPU it may hold all of the memory, in a process of its own."""


@dataclass(frozen=True)
class Job:
    """Spec of one fit and predict; with its stage's data, all that a worker is told."""

    cell: str
    plugin: Plugin
    stage: StageName
    params: Mapping[str, Any]
    seed: int
    key: str
    context: Mapping[str, Any]
    """Fields of `bench.Context` that the task and the profile set."""
    number: int = 0
    """Trial number; for a final fit the seed's index."""
    keep: bool = False
    """Keep the prediction (finals)."""
    of: tuple[str, ...] = ()
    """Keys of the validation fits whose predictions are averaged: then nothing is fitted."""
    rungs: tuple[Rung, ...] = ()
    """Where the training is stopped if it is behind."""


def job_key(parts: Mapping[str, Any]) -> str:
    """Hash all that a job's outcome depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def stable_seed(*parts: object) -> int:
    """Derive a seed in [0, 2**31) from any parts, the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def trial_seed(base: int, number: int) -> int:
    """Return the seed of a trial's fits: of the run's first seed and the trial's number alone."""
    return stable_seed(base, number)


@cache
def bench_source() -> str:
    """Hash all source files of bench: a run and a site say with it what made them."""
    return digest_of(sorted(BENCH.rglob("*.py")), BENCH)
