"""Check a plugin in a process that may hang, crash or eat all memory: each costs one check, and the tool goes on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import ConfigError
from bench.execute.executor import Executor
from bench.execute.jobs import Limits
from bench.execute.local import LocalExecutor
from bench.execute.messages import Answer, Call, Done, Note
from bench.execute.sandbox import Sandbox
from bench.registry import Group, Source
from bench.testing.verdicts import Verdict

SECONDS = 120.0
"""Longest that one check may take, and longest that a plugin may take to load."""
MEMORY_MB = 8192.0
LOADED = "it can be loaded"


def check(
    source: Source, groups: tuple[Group, ...], task: str = "", *, seconds: float = SECONDS, sandbox: Sandbox | None = None
) -> Iterator[Verdict]:
    """Run all checks of the models and adapters that a plugin offers, each as it ends; in a `sandbox` it sees its own file alone.

    Raises `ConfigError` where the plugin does not serve `task`.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        executor = LocalExecutor(1, "cpu", Path(name) / "slots", sandbox)
        try:
            yield from _checked(executor, source, {"groups": groups, "task": task}, Limits(seconds, MEMORY_MB))
        finally:
            executor.close()


def _checked(executor: Executor, source: Source, asked: Mapping[str, Any], limits: Limits) -> Iterator[Verdict]:
    """Run the checks in one worker after the other: what ends a worker is the verdict of the check that it was at."""
    done: list[tuple[str, str, str]] = []
    ended = False
    while not ended:
        arguments = {"source": source, "done": list(done), **asked}
        shown = (source.target,) if source.is_file else ()
        executor.submit(len(done), Call("bench.testing.run:check_all", arguments, shown), limits, runtime="any", fresh=True)
        at: tuple[str, str, str] | None = None
        for answer in _until_done(executor):
            if isinstance(answer, Note):
                at, verdict = _read_note(answer.content, source)
                # nothing is left to check where a plugin could not be loaded
                ended |= verdict is not None and verdict.check == LOADED
            else:
                # where nothing was running, the next worker would end there too
                ended |= at is None
                verdict = _crash_verdict(answer, at or (source.name, "", LOADED))
            if verdict is not None:
                done.append((verdict.plugin, verdict.task, verdict.check))
                yield verdict


def _until_done(executor: Executor) -> Iterator[Note | Done]:
    while True:
        answers: list[Answer] = list(executor.collect(1.0))
        for answer in answers:
            if isinstance(answer, Note | Done):
                yield answer
            if isinstance(answer, Done):
                return


def _read_note(note: Mapping[str, Any], source: Source) -> tuple[tuple[str, str, str] | None, Verdict | None]:
    """Read what the worker tells: the check that begins now, or the verdict on the one that has ended."""
    match note["event"]:
        case "begin":
            plugin, task, name = note["key"]
            return (plugin, task, name), None
        case "unloaded" if note["why"] == "argument":
            raise ConfigError(note["reason"])
        case "unloaded":
            return None, Verdict(source.name, "", LOADED, "skipped" if note["why"] == "missing" else "failed", note["reason"])
        case _:
            return None, Verdict(**{k: v for k, v in note.items() if k != "event"})


def _crash_verdict(done: Done, at: tuple[str, str, str]) -> Verdict | None:
    """Return the verdict on a check that the worker did not survive; None: all were made."""
    if done.result.status == "ok":
        return None
    # the executor's cure is for runs: here are no such options
    return Verdict(*at, "failed", done.result.reason.partition(";")[0].replace("the worker", "the process"))
