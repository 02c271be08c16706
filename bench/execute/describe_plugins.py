"""Learn what the plugins are: each is loaded in a worker, never beside the truth; a broken one becomes a reason."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from bench.execute.jobs import Limits, Plugin
from bench.execute.local import LocalExecutor
from bench.registry import Source

SECONDS = 60.0
"""Longest that one plugin may take to import and to tell its space."""
NEVER_AGAIN = {"ok", "skipped"}


class Describer:
    """Describe plugins in an executor's free slots, while the caller does other things."""

    def __init__(self, executor: LocalExecutor, sources: Sequence[Source], memory_mb: float) -> None:
        self._executor = executor
        self._waiting = deque(enumerate(sources))
        self._sources = list(sources)
        self._limits = Limits(SECONDS, memory_mb)
        self._answers: dict[int, Mapping[str, Any]] = {}
        self._again: set[int] = set()
        self._fresh: set[int] = set()
        """Those whose worker was new: nothing but the plugin itself can have made them fail."""
        self._fill()

    def finish(self) -> tuple[list[Plugin], list[str]]:
        """Wait for all; return the plugins, in the order of the sources, and the names of datasets in plugin files."""
        while len(self._answers) < len(self._sources):
            for answer in self._executor.collect(1.0):
                self._take(answer.ticket, answer.message)
            self._fill()
        plugins = [plugin for n, source in enumerate(self._sources) for plugin in _plugins(source, self._answers[n])]
        return plugins, [name for n in range(len(self._sources)) for name in self._answers[n].get("datasets", [])]

    def _take(self, number: int, message: Mapping[str, Any]) -> None:
        # another plugin may have spoilt the process: what failed in a used one is tried once more in a fresh one
        killed = message.get("signal") == signal.SIGKILL
        if message["status"] not in NEVER_AGAIN and number not in self._again and (killed or number not in self._fresh):
            self._again.add(number)
            self._waiting.append((number, self._sources[number]))
        else:
            self._answers[number] = message

    def _fill(self) -> None:
        while self._waiting and self._executor.idle():
            number, source = self._waiting.popleft()
            message = {"do": "describe", "source": source.as_dict(), "name": source.name}
            if self._executor.submit(number, message, self._limits, runtime="any", fresh=number in self._again):
                self._fresh.add(number)


def _plugins(source: Source, answer: Mapping[str, Any]) -> list[Plugin]:
    if answer["status"] != "ok":
        return [Plugin(source.name, source, status=answer["status"], reason=answer["reason"])]
    return [Plugin(source=source, **{**fields, "tasks": frozenset(fields["tasks"])}) for fields in answer["models"]]
