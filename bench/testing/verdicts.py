"""Run a check and say how it ended, failures that were announced included: each of these needs a reason, and must still fail."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench.errors import BenchError, suggest
from bench.testing.answers import CheckError, NotApplicableError

Status = Literal["ok", "failed", "expected failure", "skipped"]
SOUND = "expected failures are checks that exist, each with a reason"
LONGEST = 400
"""Most characters of an exception's words."""
CORE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Verdict:
    """Describe how one check of one plugin ended."""

    plugin: str
    task: str
    """Empty for what no task changes."""
    check: str
    status: Status
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def announced(plugin: Any, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Gather the failures that a plugin announces in its class attribute `expected_failures`, and those given beside it."""
    return {**getattr(plugin, "expected_failures", {}), **(more or {})}


def refuse_unsound(expected: Mapping[str, str], names: Iterable[str]) -> None:
    """Raise `CheckError` for an announced failure without a reason, or of a check that does not exist.

    A key is a check's name, or `TASK: NAME` where only one task is meant.
    """
    known = list(names)
    for key, reason in expected.items():
        if bare(key) not in known:
            raise CheckError(f"expected_failures names {key!r}, which is no check; {suggest(bare(key), known)}")
        if not isinstance(reason, str) or not reason.strip():
            raise CheckError(f"expected_failures gives no reason for {key!r}; say why it may fail")


def reason_for(expected: Mapping[str, str], task: str, name: str) -> str:
    """Return the reason for which a check may fail; empty: it may not."""
    return expected.get(f"{task}: {name}", expected.get(name, ""))


def bare(key: str) -> str:
    """Take the task off a key."""
    return key.rpartition(": ")[2]


def verdict_of(plugin: str, task: str, name: str, call: Callable[[], None], excuse: str = "") -> Verdict:
    """Run a check; `excuse`: why it is expected to fail. What a plugin raises ends as a reason."""
    try:
        call()
    except NotApplicableError as error:
        return Verdict(plugin, task, name, "skipped", str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is its failure
        return Verdict(plugin, task, name, "expected failure" if excuse else "failed", excuse or reason_of(error))
    if excuse:
        return Verdict(plugin, task, name, "failed", f"it passes, although it was expected to fail ({excuse}); take it off the list")
    return Verdict(plugin, task, name, "ok")


def reason_of(error: BaseException) -> str:
    """Put an exception into one line; for one that is no `BenchError`, with its place in the plugin's own code."""
    words = " ".join(str(error).split())
    if isinstance(error, BenchError):
        return words
    frames = traceback.extract_tb(error.__traceback__)
    inside = [Path(f.filename).is_relative_to(CORE) for f in frames]
    # the first step out of the core is into the plugin; whoever called the core stands before it
    out = next((f for f, before, now in zip(frames[1:], inside, inside[1:], strict=False) if before and not now), None)
    place = f" ({Path(out.filename).name}:{out.lineno})" if out else ""
    return f"{type(error).__name__}: {words[:LONGEST]}".rstrip(": ") + place
