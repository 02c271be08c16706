"""Learn what the plugins are: each is loaded in a worker, never beside the truth; a broken one becomes a reason."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from bench.execute.executor import Executor
from bench.execute.jobs import Limits, Plugin
from bench.execute.messages import Describe, Done
from bench.registry import Source

SECONDS = 60.0
"""Longest that one plugin may take to import and to tell its space."""
NEVER_AGAIN = {"ok", "skipped"}


class Describer:
    """Describe plugins in an executor's free slots, while the caller does other things."""

    def __init__(self, executor: Executor, sources: Sequence[Source], memory_mb: float) -> None:
        self._executor = executor
        self._waiting = deque(enumerate(sources))
        self._sources = list(sources)
        self._limits = Limits(SECONDS, memory_mb)
        self._answers: dict[int, Done] = {}
        self._again: set[int] = set()
        self._fresh: set[int] = set()
        """Those whose worker was new: nothing but the plugin itself can have made them fail."""
        self._fill()

    def finish(self) -> tuple[list[Plugin], list[str]]:
        """Wait for all; return the plugins, in the order of the sources, and the names of datasets in plugin files."""
        while len(self._answers) < len(self._sources):
            for answer in self._executor.collect(1.0):
                if isinstance(answer, Done):
                    self._take(answer)
            self._fill()
        plugins = [plugin for n, source in enumerate(self._sources) for plugin in _plugins(source, self._answers[n])]
        return plugins, [name for n in range(len(self._sources)) for name in self._answers[n].described.get("datasets", [])]

    def _take(self, done: Done) -> None:
        # another plugin may have spoilt the process: what failed in a used one is tried once more in a fresh one
        number, killed = done.ticket, done.result.signal == signal.SIGKILL
        if done.result.status not in NEVER_AGAIN and number not in self._again and (killed or number not in self._fresh):
            self._again.add(number)
            self._waiting.append((number, self._sources[number]))
        else:
            self._answers[number] = done

    def _fill(self) -> None:
        while self._waiting and self._executor.idle():
            number, source = self._waiting.popleft()
            request = Describe(source, source.name)
            if self._executor.submit(number, request, self._limits, runtime="any", fresh=number in self._again):
                self._fresh.add(number)


def _plugins(source: Source, done: Done) -> list[Plugin]:
    if done.result.status != "ok":
        return [Plugin(source.name, source, status=done.result.status, reason=done.result.reason)]
    return [_plugin(source, fields) for fields in done.described["models"]]


def _plugin(source: Source, fields: Mapping[str, Any]) -> Plugin:
    return Plugin(source=source, **{**fields, "tasks": frozenset(fields["tasks"]), "core_modules": tuple(fields["core_modules"])})
