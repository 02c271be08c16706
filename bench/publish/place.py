"""What lies in a place: committed runs, their files and their retractions, each read with suspicion."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from bench.board.schema import Row
from bench.publish import bounded, untrusted
from bench.publish.package import FORMAT, INDEX, MEMBERS, PREDICTION, RUN
from bench.publish.store import NAME, PlaceError, Store

SMALL = 1 << 26
"""Bytes of a JSON document that is read at most."""
INDEX_COLUMNS = {field.name: field.type for field in INDEX}
MEMBER_COLUMNS = {field.name: field.type for field in MEMBERS}
MOST_MEMBERS = 5_000_000


@dataclass(frozen=True)
class State:
    """Return which runs count at one moment."""

    committed: tuple[str, ...]
    retracted: tuple[str, ...]
    records: tuple[str, ...] = ()
    """What verifications found, by name."""

    @property
    def active_runs(self) -> list[str]:
        """List the runs that are on the board."""
        return [run for run in self.committed if run not in self.retracted]


def state(store: Store) -> State:
    """List commits, retractions and records of verifications; a file of another name there is an error."""
    found = {}
    for folder in ("commits", "retractions", "verifications"):
        names = store.names(folder)
        strange = [name for name in names if not (name.endswith(".json") and RUN.fullmatch(name[:-5]))]
        if strange:
            raise PlaceError(f"{store.shown}/{folder}/{strange[0]}: no file of bench; remove it")
        found[folder] = tuple(name[:-5] for name in names)
    return State(found["commits"], found["retractions"], found["verifications"])


def retraction(store: Store, run: str) -> tuple[str, str]:
    """Return a retraction's time and reason."""
    what = f"retractions/{run}.json"
    found = untrusted.document(store.read(what, SMALL), what)
    reason, when = found.get("reason"), found.get("time")
    if not isinstance(reason, str) or not isinstance(when, str):
        raise PlaceError(f"{what}: lacks its reason or its time")
    return when[:40], reason[:500]


@dataclass(frozen=True)
class Published:
    """Read one committed run; every file is checked against the manifest before anything is made of it."""

    store: Store
    run: str

    def path(self, name: str) -> str:
        """Name a file of this run within the place."""
        return f"runs/{self.run}/{name}"

    def manifest(self) -> dict[str, Any]:
        """Read the manifest; it must be the one that the run is named by."""
        what = self.path("manifest.json")
        content = self.store.read(what, SMALL)
        if hashlib.sha256(content).hexdigest()[:32] != self.run:
            raise PlaceError(f"{what}: has changed since it was published: the run's id is no longer its digest")
        found = untrusted.document(content, what)
        files = found.get("files")
        if found.get("format") != FORMAT or not isinstance(files, dict):
            raise PlaceError(f"{what}: has format {found.get('format')!r:.20}, this bench reads {FORMAT}")
        for name, about in files.items():
            if not NAME.fullmatch(name) or not isinstance(about, dict) or not isinstance(about.get("sha256"), str):
                raise PlaceError(f"{what}: the entry of file {name[:80]!r} is refused")
        return found

    def commit(self) -> None:
        """Check the commit: it names this run."""
        what = f"commits/{self.run}.json"
        if untrusted.document(self.store.read(what, SMALL), what).get("run") != self.run:
            raise PlaceError(f"{what}: names another run")

    def file(self, name: str, files: Mapping[str, Any] | None = None) -> bytes:
        """Read a file of the run; raise `PlaceError` where it is not in the manifest, or not what stands there."""
        files = self.manifest()["files"] if files is None else files
        if name not in files:
            raise PlaceError(f"{self.path(name)}: not in the run's manifest")
        content = self.store.read(self.path(name))
        if hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
            raise PlaceError(f"{self.path(name)}: has changed since it was published: its sha256 is not the manifest's")
        return content

    def rows(self) -> list[Row]:
        """Read the rows."""
        return untrusted.rows(self.file("rows.parquet"), self.path("rows.parquet"))

    def about(self) -> dict[str, Any]:
        """Read `run.json`."""
        return untrusted.document(self.file("run.json"), self.path("run.json"))

    def records(self, name: str, columns: pa.Schema, files: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Read a table beside the rows, of which these columns are used; [] where the run was published without it."""
        if name not in files:
            return []
        return untrusted.loose_records(self.file(name, files), self.path(name), {field.name: field.type for field in columns})

    def index(self) -> list[dict[str, Any]]:
        """Read where the predictions lie; a file outside the run's folder is an error."""
        what = self.path("predictions.parquet")
        found = untrusted.records(self.file("predictions.parquet"), what, INDEX_COLUMNS)
        for entry in found:
            if not PREDICTION.fullmatch(entry["file"]):
                raise PlaceError(f"{what}: file {entry['file'][:80]!r} is refused: it is no prediction of the run's own folder")
        return found

    def members(self) -> pa.Table:
        """Read the opaque ids of the members, each column a dictionary of its texts."""
        what = self.path("members.parquet")
        return bounded.strings(self.file("members.parquet"), what, MEMBER_COLUMNS, most_rows=MOST_MEMBERS)
