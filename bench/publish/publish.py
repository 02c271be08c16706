"""Publish a run, retract one, rebuild what is derived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.board.merge import Merged, misfit
from bench.board.schema import Row
from bench.errors import ConfigError
from bench.publish import records, signatures
from bench.publish.chain import heads
from bench.publish.derive import derive, derived_there, merged_rows
from bench.publish.package import RUN, Package, dumped, package
from bench.publish.place import SMALL, Published, State, retraction, state
from bench.publish.store import PlaceError, Store, open_store

if TYPE_CHECKING:
    from bench.publish.verify import Checked

LONGEST = 500
"""Characters of a reason."""
BATCH = 1 << 26
"""Bytes of files that are read and sent together."""


@dataclass(frozen=True)
class PublishResult:
    """Describe what a command did, or would do."""

    run: str
    place: str
    new: bool
    """It was not there before."""
    rows: int
    predictions: int
    bytes: int
    files: Mapping[str, int]
    """File of the run -> bytes."""
    board: int
    """Rows on the board, of all runs."""
    superseded: int
    """Older rows of the same cells, which the board does not show."""


def publish(folder: Path, to: str, *, dry_run: bool = False, with_figures: bool = False, sign: str | Path | None = None) -> PublishResult:
    """Publish a finished run and derive board and site anew; the same run again changes nothing.

    `sign`: an SSH key, or `sigstore`.

    Raises `RunFolderError` for a run that is unfinished or damaged, `PlaceError` where the place refuses, where a run's
    data or versions contradict those that are published, and where the run was retracted.
    """
    # who cannot sign is told before anything is sent
    signing = signatures.opened(sign, trial=True) if sign is not None and not dry_run else None
    made = package(folder, with_figures=with_figures)
    store = open_store(to)
    seen = state(store)
    if made.run in seen.retracted:
        when, reason = retraction(store, made.run)
        raise PlaceError(f"run {made.run} was retracted from {store.shown} on {when[:10]} ({reason}); a retraction stands: run again")
    _refuse_misfit(made, store, seen)
    new = made.run not in seen.committed
    if dry_run:
        return _result_of(made, store, merged_rows(store, seen), new=new)
    if new:
        upload(made, store)
    if signing is not None:
        # what stands there is signed: of two who publish one run at once, one finds the other's commit
        signature = signing.sign(store.read(f"commits/{made.run}.json", SMALL))
        store.write(f"{signatures.FOLDER}/{made.run}{signing.suffix}", signature)
    return _result_of(made, store, derive(store), new=new)


def upload(made: Package, store: Store) -> None:
    """Bring all files of a run to the place, then the commit: until it is there, no reader knows of the run."""
    created = max(row["created"] for row in made.rows).isoformat()
    for names in _batches(made.sizes):
        store.change({f"runs/{made.run}/{name}": made.read(name) for name in names})
    commit = dumped({"run": made.run, "created": created, "after": heads(store, state(store).committed)})
    store.write_new(f"commits/{made.run}.json", commit)


def _batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield the names of files that are sent together, about `BATCH` bytes at a time."""
    names: list[str] = []
    total = 0
    for name, size in sizes.items():
        names.append(name)
        total += size
        if total > BATCH:
            yield names
            names, total = [], 0
    if names:
        yield names


def retract(run: str, to: str, reason: str, *, dry_run: bool = False) -> PublishResult:
    """Take a run off the board, with the reason; its files and the reason stay. `run`: its id, or its folder.

    Raises `PlaceError` where it is not published or retracted already, `ConfigError` without a reason.
    """
    reason = " ".join(reason.split())
    if not reason or len(reason) > LONGEST:
        raise ConfigError(f"--retract needs --reason TEXT, of 1 to {LONGEST} characters")
    store = open_store(to)
    name = _published_run(run, store)
    if not dry_run:
        document = dumped({"run": name, "reason": reason, "time": datetime.now(UTC).isoformat(timespec="seconds")})
        if not store.write_new(f"retractions/{name}.json", document):
            when, before = retraction(store, name)
            raise PlaceError(f"run {name} was retracted already, on {when[:10]} ({before}); the first reason stands")
    merged = merged_rows(store, state(store)) if dry_run else derive(store)
    return PublishResult(name, store.shown, False, 0, 0, 0, {}, len(merged.rows), merged.superseded)


def record(found: Checked, place: str, *, sign: str | Path | None = None) -> str:
    """Keep in a place what a verification of it found, so that its first page tells; returns the record's id.

    Raises `PlaceError` where files are not what was published: of such a place nothing is recorded.
    """
    from bench.publish.verify import recorded_rows  # it fits again, which publishing never does

    if found.faults:
        raise PlaceError(f"nothing is recorded: {found.faults[0]}")
    content = records.written(recorded_rows(found), datetime.now(UTC))
    signing = signatures.opened(sign) if sign is not None else None
    signature = signing.sign(content) if signing is not None else b""
    store = open_store(place)
    name = records.store_record(store, content)
    if signing is not None:
        store.write(f"{signatures.FOLDER}/{name}{signing.suffix}", signature)
    if derived_there(store):
        derive(store)
    return name


def rebuild(place: str) -> PublishResult:
    """Derive board and site anew from the runs, every file of them."""
    store = open_store(place)
    if not state(store).committed:
        raise PlaceError(f"{store.shown}: no run is published here; publish one with bench publish RUN --to {store.shown}")
    merged = derive(store, everything=True)
    return PublishResult("", store.shown, False, 0, 0, 0, {}, len(merged.rows), merged.superseded)


def _refuse_misfit(made: Package, store: Store, seen: State) -> None:
    published: dict[str, list[Row]] = {run: Published(store, run).rows() for run in seen.active_runs if run != made.run}
    before = misfit(published)
    after = [words for words in misfit({**published, made.run: list(made.rows)}) if words not in before]
    if after:
        raise PlaceError(f"run {made.run} does not fit what is published at {store.shown}: {after[0]}; publish it to a place of its own")


def _published_run(run: str, store: Store) -> str:
    """Find the id of a run that is given by its id, the beginning of it, or its folder."""
    committed = state(store).committed
    if Path(run).is_dir():
        # with or without figures: two packages of one folder
        found = [p.run for figures in (False, True) if (p := package(Path(run), with_figures=figures)).run in committed]
    else:
        found = [name for name in committed if len(run) >= 8 and name.startswith(run)] if RUN.fullmatch(run.ljust(32, "0")) else []
    if len(set(found)) != 1:
        known = f"published are {', '.join(committed[:3])}{' ...' if len(committed) > 3 else ''}" if committed else "nothing is published"
        raise PlaceError(f"run {run!r} is not published at {store.shown}; {known}; give a run's id or its folder")
    return found[0]


def _result_of(made: Package, store: Store, merged: Merged, *, new: bool) -> PublishResult:
    files = made.sizes
    predictions = sum(name.startswith("predictions/") for name in files)
    return PublishResult(
        made.run, store.shown, new, len(made.rows), predictions, sum(files.values()), files, len(merged.rows), merged.superseded
    )
