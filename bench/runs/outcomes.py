"""Outcomes of finished cells, kept beside the memory: a run of many trials holds those of the cells under way alone."""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.tune.plan import Outcome


class Outcomes(Mapping[str, Outcome]):
    """Outcomes by the name of their cell, in the order in which the cells ended; each is read when it is asked for.

    They lie in a file without a name in the run folder, which is gone with the process: a run that is given again derives
    them anew from its ledger.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the object
        weakref.finalize(self, self._file.close)
        self._begins: dict[str, int] = {}

    def add(self, name: str, outcome: Outcome) -> None:
        """Keep what became of a cell."""
        begin = self._file.seek(0, os.SEEK_END)
        pickle.dump(outcome, self._file, protocol=5)
        self._file.flush()
        self._begins[name] = begin

    def __getitem__(self, name: str) -> Outcome:
        """Read what became of a cell."""
        self._file.seek(self._begins[name])
        found: Outcome = pickle.load(self._file)  # noqa: S301 - written above, into a file that has no name
        return found

    def __contains__(self, name: object) -> bool:
        """Return whether a cell has ended, without reading its outcome."""
        return name in self._begins

    def __iter__(self) -> Iterator[str]:
        """List the cells that have ended."""
        return iter(self._begins)

    def __len__(self) -> int:
        """Count the cells that have ended."""
        return len(self._begins)
