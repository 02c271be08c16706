"""Trials: one configuration's scores on the validations that it has met, and how sure a difference of two is.

Letters for shapes: V validations (cut-offs, windows or draws), B resamples.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np

from bench.data.ragged import Array
from bench.errors import RunFolderError
from bench.tasks.base import StageName


class Entry(TypedDict, total=False):
    """A line of the ledger: what became of one job. `merged` and calibration add the keys at its end."""

    format: int
    key: str
    dataset: str
    model: str
    task_id: str
    stage: StageName
    number: int
    """Of the trial; for a final fit the seed's index."""
    params: Mapping[str, Any]
    seed: int
    status: str
    reason: str
    value: float | None
    """The mean validation score of the first tuning; None for finals and failures."""
    values: Mapping[str, float]
    scores: Mapping[str, Sequence[float]]
    replicates: Mapping[str, Sequence[float]]
    flags: Sequence[str]
    note: str
    about: Mapping[str, Any]
    confined: bool
    log_tail: str
    prediction: str | None
    saved: str | None
    digests: Mapping[str, str]
    unsaved: str
    fit_seconds: float
    predict_seconds: float
    taken_over: float
    """Of `fit_seconds`, those of a configuration of a mean that another fit had fitted; this key stands only where there is one."""
    peak_memory_mb: float
    cut_short: bool
    losses: Sequence[float]
    """The lowest holdout loss up to each epoch, of a training that tells."""
    epochs: int
    """Epochs that such a training may take at most."""
    curve: Sequence[Sequence[float]]
    """What the fit reported: (epoch, holdout loss), oldest first; a ledger of before has none."""
    device: str
    gpu: str
    """Name of the GPU; this key and the next three stand only where a job ran on one."""
    gpu_memory_mb: float | None
    """Of the whole GPU."""
    gpu_peak_mb: float | None
    gpu_utilisation: float | None
    again: bool
    finished: str
    validations: Mapping[StageName, str]
    """Of a merged entry: the key of each validation's fit."""
    latest: float | None
    """Of a merged entry: the score on the latest validation alone, which every trial meets."""
    fits: float
    """Of a merged entry: how many fits it took."""
    raw: str
    """Of a calibrated entry: the file of the prediction before."""
    calibration: Mapping[str, float]


def compact(entry: Entry) -> Entry:
    """Keep the scores under resamples as 8 bytes each, where a list takes 32: there are 200 of them for every fit."""
    if not entry.get("replicates"):
        return entry
    return {**entry, "replicates": {tuning: array("d", drawn) for tuning, drawn in entry["replicates"].items()}}


def prediction_file(entry: Entry) -> str:
    """Return where a final prediction lies within the run folder; raise `RunFolderError` where the entry has none."""
    file = entry["prediction"]
    if file is None:
        raise RunFolderError(f"the ledger's {entry['stage']} entry of {entry['model']} on {entry['dataset']} has no prediction")
    return file


def share_used(entry: Entry) -> float:
    """Return the share of a fit that an entry stands for: less than 1 only where it was stopped at a rung."""
    return len(entry["losses"]) / entry["epochs"] if entry["status"] == "pruned" else 1.0


@dataclass(frozen=True)
class Difference:
    """How much better one trial is than another, in the sense of the metric, and its standard error."""

    mean: float
    error: float

    def exceeds(self, errors: float) -> bool:
        """Return whether the advantage is larger than so many of its standard errors."""
        return self.mean > errors * self.error and self.mean > 0


@dataclass(eq=False)
class Trial:
    """One configuration and the ledger's entries of its fits, by the validation stage that each met."""

    number: int
    params: Mapping[str, Any]
    entries: dict[StageName, Entry] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Return whether every fit so far worked."""
        return all(entry["status"] == "ok" for entry in self.entries.values())

    @property
    def pruned(self) -> bool:
        """Return whether its training was stopped at a rung."""
        return any(entry["status"] == "pruned" for entry in self.entries.values())

    @property
    def cost(self) -> float:
        """Return how many fits it took; one that was stopped at a rung counts by the share of its epochs."""
        return sum(share_used(entry) for entry in self.entries.values())

    def scores(self, tuning: str, stages: tuple[StageName, ...] | None = None) -> Array:
        """Return the score on each validation met, float64 [V]."""
        return np.array([v for s in stages or tuple(self.entries) for v in self.entries[s]["scores"][tuning]], np.float64)

    def replicates(self, tuning: str, stages: tuple[StageName, ...]) -> Array:
        """Return the mean score under each resample of the users or series, float64 [B]."""
        weights = [len(self.entries[s]["scores"][tuning]) for s in stages]
        return np.average([self.entries[s]["replicates"][tuning] for s in stages], axis=0, weights=weights)

    def merged(self) -> Entry:
        """Return one entry for all fits: that of the latest validation, with mean scores, summed seconds and the worst status."""
        every = list(self.entries.values())
        first = next((e for e in every if e["status"] != "ok"), every[0])
        tunings = first["values"] if self.ok else {}
        values = {tuning: float(self.scores(tuning).mean()) for tuning in tunings}
        return {
            **first,
            "value": next(iter(values.values()), None),
            "values": values,
            "scores": {tuning: self.scores(tuning).tolist() for tuning in tunings},
            "replicates": {tuning: array("d", self.replicates(tuning, tuple(self.entries))) for tuning in tunings},
            "validations": {stage: entry["key"] for stage, entry in self.entries.items()},
            "latest": every[0]["value"],
            "fits": self.cost,
            "fit_seconds": sum(e["fit_seconds"] for e in every),
            "predict_seconds": sum(e["predict_seconds"] for e in every),
            "peak_memory_mb": max(e["peak_memory_mb"] for e in every),
            "gpu_peak_mb": max((held for e in every if (held := e.get("gpu_peak_mb")) is not None), default=None),
        }


def difference(one: Trial, other: Trial, tuning: str, *, higher: bool) -> Difference:
    """Compare two trials on the validations that both have met; positive: `one` is better.

    The standard error is the larger of two: over resamples of users or series (paired: the same draws for both), and
    between validations where there are several, because what holds at one cut-off may not hold at the next.
    """
    sign = 1.0 if higher else -1.0
    shared = tuple(stage for stage in one.entries if stage in other.entries)
    apart = sign * (one.scores(tuning, shared) - other.scores(tuning, shared))  # [V]
    drawn = one.replicates(tuning, shared) - other.replicates(tuning, shared)  # [B]
    known = drawn[np.isfinite(drawn)]
    resampled = float(known.std()) if len(known) > 1 else float("inf")
    between = float(apart.std(ddof=1) / np.sqrt(len(apart))) if len(apart) > 1 else 0.0
    return Difference(float(apart.mean()), max(resampled, between))
