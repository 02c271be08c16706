"""Records of verifications: what `bench verify --record` found, kept in the place, so that its first page can tell.

A record is the word of whoever wrote it, as a run is. It is named by its digest, names each row by its place in a run
whose id is a digest too, and is refused whole where it says what cannot be: of a run that is not there, of a row without
a prediction. What could be, and is not so, the next verification finds: it compares what it finds with each record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.board.merge import row_key
from bench.errors import BenchError
from bench.execute.jobs import bench_source
from bench.publish import untrusted
from bench.publish.package import RUN
from bench.publish.place import SMALL, Published, State
from bench.publish.rerun import repeatable
from bench.publish.store import PlaceError, Store
from bench.version import VERSION

FORMAT = 1
FOLDER = "verifications"
LEVELS = ("re-scored", "re-run", "failed")
"""Lists of rows in a record, no row in two of them; all others are claimed."""
MOST = 100
"""Records of a place that are read, the first by name; more are refused."""


@dataclass(frozen=True)
class Record:
    """What one verification found."""

    name: str
    """Its id: the digest of its content."""
    time: datetime
    runs: Mapping[str, Mapping[str, frozenset[int]]]
    """Run -> level -> rows, by their place in the run."""

    def rows(self, run: str, *levels: str) -> frozenset[int]:
        """Return the rows of a run that are recorded at any of these levels."""
        found = self.runs.get(run, {})
        return frozenset(at for level in levels for at in found.get(level, ()))


def written(found: Mapping[str, Mapping[str, Sequence[int]]], now: datetime) -> bytes:
    """Write a record; `found`: run -> level -> rows."""
    about = {"format": FORMAT, "time": now.isoformat(timespec="seconds"), "bench_version": VERSION, "bench_source": bench_source()}
    runs = {run: {level: sorted(levels.get(level, ())) for level in LEVELS} for run, levels in found.items()}
    return json.dumps({**about, "runs": runs}, sort_keys=True).encode()


def store_record(store: Store, content: bytes) -> str:
    """Write a record under its digest, and return that."""
    name = hashlib.sha256(content).hexdigest()[:32]
    store.write_new(f"{FOLDER}/{name}.json", content)
    return name


def read(store: Store, name: str, seen: State) -> Record:
    """Read a record with suspicion; raise `PlaceError` where it is not what its name says, or says what cannot be."""
    what = f"{FOLDER}/{name}.json"
    content = store.read(what, SMALL)
    if hashlib.sha256(content).hexdigest()[:32] != name:
        raise PlaceError(f"{what}: has changed since it was written: its name is no longer its digest")
    found = untrusted.document(content, what)
    if found.get("format") != FORMAT or not isinstance(found.get("runs"), dict):
        raise PlaceError(f"{what}: has format {found.get('format')!r:.20}, this bench reads {FORMAT}")
    runs = {run: _levels(run, levels, what) for run, levels in found["runs"].items()}
    record = Record(name, _time(found.get("time"), what), runs)
    for run in runs:
        if run not in seen.committed:
            raise PlaceError(f"{what}: tells of run {run[:40]}, which is not published here")
        _refuse_impossible(record, Published(store, run), what)
    return record


def _levels(run: object, levels: object, what: str) -> dict[str, frozenset[int]]:
    if not isinstance(run, str) or not RUN.fullmatch(run) or not isinstance(levels, dict) or set(levels) != set(LEVELS):
        raise PlaceError(f"{what}: is no record of a verification")
    kept: dict[str, frozenset[int]] = {}
    for level, rows in levels.items():
        if not isinstance(rows, list) or not all(type(at) is int and 0 <= at < untrusted.MOST_ROWS for at in rows):
            raise PlaceError(f"{what}: its rows {level} are no places of rows")
        kept[level] = frozenset(rows)
    if sum(map(len, kept.values())) != len(frozenset().union(*kept.values())):
        raise PlaceError(f"{what}: has a row at two levels")
    return kept


def _time(given: Any, what: str) -> datetime:
    try:
        found = datetime.fromisoformat(given)
        late = found > datetime.now(UTC) + untrusted.AHEAD
    except (TypeError, ValueError):
        raise PlaceError(f"{what}: its time is {given!r:.40}, expected one as 2026-01-31T12:00:00+00:00") from None
    if late:
        raise PlaceError(f"{what}: its time is {found:%Y-%m-%d}, which is still to come")
    return found


def _refuse_impossible(record: Record, published: Published, what: str) -> None:
    """Refuse rows that are not there, and levels that no verification can reach."""
    rows = published.rows()
    stored = {row_key(entry) for entry in published.index()}
    for level in LEVELS:
        for at in record.rows(published.run, level):
            if at >= len(rows):
                raise PlaceError(f"{what}: tells of row {at} of run {published.run}, which has {len(rows)}")
            row = rows[at]
            able = level == "failed" or (row["status"] == "ok" and row_key(row) in stored and (level == "re-scored" or repeatable(row)))
            if not able:
                raise PlaceError(f"{what}: says that {row['model']} on {row['dataset']} was {level}, which no verification can find")


def records(store: Store, seen: State) -> tuple[list[Record], list[str]]:
    """Read all records, the newest first; the second item says which are refused, and why."""
    found: list[Record] = []
    refused = [f"{FOLDER}: {len(seen.records):,} records, of which {MOST} are read"] if len(seen.records) > MOST else []
    for name in seen.records[:MOST]:
        try:
            found.append(read(store, name, seen))
        except BenchError as error:
            refused.append(str(error))
    return sorted(found, key=lambda record: (-record.time.timestamp(), record.name)), refused


def compared(record: Record, lines: Mapping[str, Sequence[tuple[str, bool]]]) -> Iterator[tuple[bool, str]]:
    """Compare a record with what was found now: run -> (level, wrong) of each row; yields (is it a fault, words)."""
    what, agreed, open_, unfitted = f"{FOLDER}/{record.name}.json", 0, 0, 0
    for run, own in lines.items():
        for at in sorted(record.rows(run, "re-scored", "re-run")):
            level, wrong = own[at]
            if wrong:
                yield True, f"{what}: says that row {at} of run {run} was verified; it does not agree here"
            agreed += level != "claimed" and not wrong
            open_ += level == "claimed" and not wrong
            unfitted += level == "re-scored" and at in record.rows(run, "re-run")
    left = f", {open_:,} were not checked: give their data with --source" if open_ else ""
    refit = f", {unfitted:,} were fitted again there and not here: give --rerun" if unfitted else ""
    yield False, f"record of {record.time:%Y-%m-%d}: of {agreed + open_:,} rows that it calls verified {agreed:,} agree here{left}{refit}"


def counted(record: Record, rows: Mapping[str, Collection[int]]) -> dict[str, int]:
    """Count rows, run -> places in the run, by the level at which they are recorded."""
    found = {level: sum(at in record.rows(run, level) for run, own in rows.items() for at in own) for level in LEVELS}
    return {**found, "claimed": sum(map(len, rows.values())) - sum(found.values())}
