"""Messages between the supervisor and the agents of a cluster's nodes: bytes, where a local executor has paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from bench.execute.jobs import Limits
from bench.execute.messages import Note, Report, Request, Result
from bench.execute.slot import SlotState

Files: TypeAlias = Mapping[str, bytes]
"""Path below a folder, or name -> content."""


@dataclass(frozen=True)
class Submission:
    """Run a request; see `Executor.submit`."""

    ticket: int
    request: Request
    limits: Limits
    runtime: str
    final: bool
    fresh: bool
    digest: str = ""
    """Of the stage; empty: none is needed."""
    parts: int = 0
    """Parts of the stage: all but the first come one by one (`NextPart`), since they hold the truth of those before."""
    stage: bytes | None = None
    """Training data and first part, pickled; None where the agent has them."""
    plugin: Files = field(default_factory=dict)
    """The plugin's file, where it is one."""
    saved: Files = field(default_factory=dict)
    """The saved model that an `Apply` loads, or a `Fit` takes one of its configurations from."""
    forget: tuple[str, ...] = ()
    """Digests of stages that the agent need not keep."""


@dataclass(frozen=True)
class NextPart:
    """Hand a worker the next part of its stage: the forecasts of the one before are stored by the supervisor."""

    ticket: int
    payload: bytes


Order: TypeAlias = Submission | NextPart


@dataclass(frozen=True)
class Predicted:
    """A worker has predicted a part and waits for the next one."""

    ticket: int
    arrays: Files
    """The part's arrays as npy files, by name."""


@dataclass(frozen=True)
class Ended:
    """A request ended; the files of its result come as bytes."""

    ticket: int
    result: Result
    """Without paths."""
    described: Mapping[str, Any]
    last: Files | None
    """The arrays of the part that has not been sent yet, the last one, where the worker got so far."""
    model: Files | None


AgentAnswer: TypeAlias = Report | Note | Predicted | Ended


@dataclass(frozen=True)
class Step:
    """What an agent says each time that it is asked."""

    answers: tuple[AgentAnswer, ...]
    slots: tuple[SlotState, ...]


@dataclass(frozen=True)
class NodeFacts:
    """What an agent says of its node when it starts."""

    name: str
    source: str
    """Digest of bench's own sources."""
    versions: Mapping[str, str]
    """Of Python and of all that a model may compute with."""
    plugins: Mapping[str, str]
    """Entry point -> digest of the sources of the model plugin behind it."""
    gpus: tuple[str, ...]
    """Models of the GPUs it may use."""
    slots: int
    confined: bool
    reason: str = ""
    """Why it cannot serve; empty: it can."""


def read_files(folder: Path) -> dict[str, bytes]:
    """Read the plain files of a folder; links, and what cannot be read, are left out."""
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and not f.is_symlink() and os.access(f, os.R_OK))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def write_files(folder: Path, files: Files) -> None:
    """Write files into a folder; raise `ValueError` for a path that leads out of it."""
    for name, content in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{name!r} leads out of its folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def without_paths(result: Result) -> Result:
    """Drop what means nothing on another machine."""
    return replace(result, parts=(), model=None)
