"""One board of one data set as it was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.execute.jobs import Plugin
from bench.tasks.base import Split
from bench.tune.plan import Outcome


@dataclass(frozen=True)
class Problem:
    """One board of one data set as it was run: the split, and who took part."""

    dataset: str
    simulated: bool
    fingerprint: str
    split: Split
    plugins: Sequence[Plugin]
    adapter: str = ""
    """Who read the data; empty where a frame was given."""
    overview: Mapping[str, Any] = field(default_factory=dict)
    """What happened over time, as `bench.data.overview` counts it."""

    @property
    def title(self) -> str:
        """Name it for people and for seeds: the data set, and the family where it has several boards."""
        return " ".join(filter(None, [self.dataset, self.split.columns.get("family")]))

    def outcomes(self, found: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Choose its own outcomes, by model."""
        names = {p.name: f"{self.title}/{p.name}" for p in self.plugins}
        return {model: found[name] for model, name in names.items() if name in found}
