"""Messages between an executor and its workers: what a worker is asked, and what the caller hears of it.

A worker is sent these as they are. It answers in JSON, which is read here as what it is: words of a process that runs
foreign code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from bench.execute.rungs import Rung
from bench.registry import Source

MOST_POINTS = 200
"""Points of a learning curve that are read."""


@dataclass(frozen=True)
class Describe:
    """Read the metadata and spaces of the models that a plugin offers."""

    source: Source
    name: str


@dataclass(frozen=True)
class Fit:
    """Fit a model on the stage that goes with the message, and predict each of its parts."""

    source: Source
    name: str
    params: Mapping[str, Any]
    seed: int
    context: Mapping[str, Any]
    """Fields of `bench.Context` that the task and the profile set."""
    device: str = "cpu"
    save: bool = False
    """Keep the fitted model."""
    rungs: tuple[Rung, ...] = ()
    """Where its training is stopped if it is behind."""
    saved: str = ""
    """Of a mean: the folder in which another fit of this stage and seed saved one of its configurations; empty: all are fitted."""
    fitted: int = 0
    """Which configuration that is."""


@dataclass(frozen=True)
class Apply:
    """Load a model that a final fit saved, and predict the stage's one part."""

    source: Source
    name: str
    params: Mapping[str, Any]
    seed: int
    context: Mapping[str, Any]
    saved: str
    """The folder it was saved in; empty: it learns as it predicts."""
    device: str = "cpu"
    explain: bool = False
    """Leave `contributions` beside the prediction, where the model has such a method."""
    insight: bool = False
    """Leave what its method `insight` gives, in place of a prediction."""


@dataclass(frozen=True)
class Call:
    """Call a function of bench, `MODULE:NAME`, with the arguments and a way to send notes; it returns nothing."""

    target: str
    arguments: Mapping[str, Any]
    shown: tuple[str, ...] = ()
    """Files that a confined worker may read beside those of every worker."""


Request: TypeAlias = Describe | Fit | Apply | Call


@dataclass(frozen=True)
class StageData:
    """The pickled training data and first part of a stage: replaces the one that the worker had. Large arrays follow it on the pipe."""

    digest: str
    head: bytes
    sizes: tuple[int, ...] = ()
    """Bytes of each array that follows."""
    once: bool = False
    """It serves one job, and goes with it: the worker has no room to keep it and to hand out copies."""


@dataclass(frozen=True)
class Order:
    """A request with what the executor adds to it."""

    request: Request
    digest: str
    """Of the stage; empty: none is needed."""
    folder: str
    """Where predictions and the fitted model are left."""
    seconds: float
    parts: int
    gpu_mb: float = 0.0
    """Most that it may hold of a GPU's memory; 0: it is not bounded."""


@dataclass(frozen=True)
class Result:
    """How a job, or one chunk of it, ended."""

    status: str
    reason: str = ""
    log_tail: str = ""
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    parts: tuple[Mapping[str, Path], ...] = ()
    """For each part the files of its arrays, by name."""
    model: Path | None = None
    """The folder in which the fitted model was saved."""
    unsaved: str = ""
    """Why it could not be."""
    cut_short: bool = False
    curve: tuple[tuple[int, float], ...] = ()
    """What the fit reported: step (an epoch) and value (the holdout loss)."""
    signal: int = 0
    """The signal that ended the worker, where one did that was not ours."""
    again: bool = False
    """The machine's fault (disk full), not the model's: the next run tries again."""
    losses: tuple[float, ...] = ()
    """The lowest holdout loss up to each epoch, of a training that tells."""
    epochs: int = 0
    """Epochs that such a training may take at most."""
    gpu_full: bool = False
    """A GPU's memory did not suffice, of which others may have held a part."""
    gpu: str = ""
    """Name of the GPU that it ran on; empty: none."""
    gpu_memory_mb: float | None = None
    """Of the whole GPU."""
    gpu_peak_mb: float | None = None
    """Most that the job was seen to hold of it; None: nobody tells."""
    gpu_utilisation: float | None = None
    """Percent of the time in which the GPU computed while the job ran, for whomever; None: nobody tells."""

    @classmethod
    def joined(cls, results: Sequence[Result]) -> Result:
        """Make one result of those of a job's chunks: the first failure stands for all, seconds add up."""
        worst = next((r for r in results if r.status != "ok"), results[0])
        return replace(
            worst,
            fit_seconds=sum(r.fit_seconds for r in results),
            predict_seconds=sum(r.predict_seconds for r in results),
            peak_memory_mb=max(r.peak_memory_mb for r in results),
            gpu_peak_mb=max((r.gpu_peak_mb for r in results if r.gpu_peak_mb is not None), default=None),
            cut_short=any(r.cut_short for r in results),
            again=any(r.again for r in results),
        )


@dataclass(frozen=True)
class Report:
    """A model told how its training goes."""

    ticket: int
    step: int
    value: float


@dataclass(frozen=True)
class Note:
    """A `Call` told something on its way."""

    ticket: int
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Awaiting:
    """A worker has predicted a part, which is stored, and waits for the next one, which was not submitted with the stage."""

    ticket: int
    files: Mapping[str, Path]
    """Of the part's arrays, by name."""


@dataclass(frozen=True)
class Done:
    """A request ended: by the worker's own words, or by the verdict of the watch."""

    ticket: int
    result: Result
    described: Mapping[str, Any] = field(default_factory=dict)
    """What a `Describe` found: `models` and `datasets`."""


Answer: TypeAlias = Report | Note | Awaiting | Done


@dataclass(frozen=True)
class Ending:
    """How a worker says that a request ended, and in what state the request has left it."""

    result: Result
    described: Mapping[str, Any]
    timed: bool
    """It says itself how long the fit took."""
    loaded: tuple[str, ...]
    """Frameworks that are imported now."""
    spoilt: bool
    """Something is left running, or a device has faulted: the next request gets a new process."""

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Ending:
        """Read a worker's last message; raise `ValueError` where a plugin has meddled with it."""
        fit, predict, memory = (float(message.get(name, 0.0)) for name in ("fit_seconds", "predict_seconds", "peak_memory_mb"))
        if not all(math.isfinite(n) and n >= 0 for n in (fit, predict, memory)):
            raise ValueError(f"times and memory are {fit}, {predict} and {memory}")
        losses, epochs = _losses(message)
        result = Result(
            _status(message.get("status")),
            str(message.get("reason", "")),
            fit_seconds=fit,
            predict_seconds=predict,
            peak_memory_mb=memory,
            unsaved=str(message.get("unsaved", "")),
            cut_short=bool(message.get("cut_short")),
            curve=_curve(message.get("curve", ())),
            again=bool(message.get("again")),
            losses=losses,
            epochs=epochs,
            gpu_full=bool(message.get("gpu_full")),
        )
        described = {name: message[name] for name in ("models", "datasets") if name in message}
        loaded = tuple(str(name) for name in message.get("loaded", ()))
        return cls(result, described, "fit_seconds" in message, loaded, bool(message.get("spoilt") or message.get("fault")))


def _losses(message: Mapping[str, Any]) -> tuple[tuple[float, ...], int]:
    """Read how a training went, at most as many losses as it may take epochs."""
    losses, epochs = tuple(float(loss) for loss in message.get("losses", ())), int(message.get("epochs", 0))
    if not all(map(math.isfinite, losses)) or len(losses) > epochs:
        raise ValueError(f"{len(losses)} losses of {epochs} epochs")
    return losses, epochs


def _curve(given: Sequence[Sequence[float]]) -> tuple[tuple[int, float], ...]:
    """Read what a fit reported; points that are no numbers are a plugin's own affair and are left out."""
    points = [(int(step), float(value)) for step, value in given[:MOST_POINTS]]
    return tuple(point for point in points if math.isfinite(point[1]))


def _status(given: object) -> str:
    if given not in {"ok", "failed", "invalid", "skipped", "oom", "pruned"}:
        raise ValueError(f"status is {given!r}")
    return str(given)
