"""Verify a place: what was committed is what lies there, follows from the data, and comes out again.

Three levels, each row's own: `claimed` (its files are those that were published, no more), `re-scored` (its prediction,
scored against truth rebuilt from the data, gives every number of the row), `re-run` (fitted again with its parameters and
seed, the model predicts the same). A row's level is the highest at which it was checked and agreed.

What each level finds: whoever changes a file without making its run's id anew is found at `claimed`. Whoever publishes a
consistent lie, all digests included, is found at `re-scored` where a score, a prediction, a fingerprint or the members are
not what the data gives, and at `re-run` where parameters or predictions are not what the model gives.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.board.merge import row_key
from bench.board.schema import Row
from bench.errors import BenchError
from bench.execute.jobs import bench_source
from bench.publish import untrusted
from bench.publish.consistent import contradictions
from bench.publish.derive import ABOUT, BOARD, FOLDERS, derived_files, merged_rows
from bench.publish.place import SMALL, Published, State, retraction, state
from bench.publish.rerun import repeatable, repeater
from bench.publish.rescore import Board, rescored
from bench.publish.store import PlaceError, Store, open_store
from bench.publish.truth import Run, given_sources, read_run, splits_of
from bench.registry import Registry


@dataclass(frozen=True)
class Line:
    """State of one published row how far it was checked."""

    run: str
    row: Row
    level: str = "claimed"
    words: str = ""
    """What was not checked, and why; or what does not agree."""
    wrong: bool = False

    @property
    def name(self) -> str:
        """Name the row for people."""
        return f"{self.row['model']} on {self.row['dataset']} ({self.row['tuning']}, seed {self.row['seed']}) of run {self.run}"


@dataclass(frozen=True)
class Checked:
    """What a verification found."""

    lines: Sequence[Line]
    faults: Sequence[str] = ()
    """What is wrong with files, runs and the derived board; empty: nothing."""
    notes: Sequence[str] = ()
    """What was passed over, and why."""

    @property
    def failures(self) -> list[str]:
        """Name everything that failed."""
        return [*self.faults, *(f"{line.name}: {line.words}" for line in self.lines if line.wrong)]


@dataclass
class _Open:
    """One readable run while it is checked."""

    published: Published
    lines: list[Line]
    run: Run
    index: list[dict[str, Any]] = field(default_factory=list)
    boards: dict[tuple[str, str], Board] = field(default_factory=dict)


def verify(place: str, registry: Registry, *, sources: Sequence[str] = (), rerun: int = 0, seed: int = 0) -> Checked:
    """Check a place; `sources`: NAME=PATH words, `rerun`: how many random cells are fitted again, drawn by `seed`.

    Raises `PlaceError` only where nothing can be checked: no run is published, or the place cannot be reached.
    """
    store = open_store(place)
    seen = state(store)
    if not seen.committed:
        raise PlaceError(f"{store.shown}: no run is published here; give the folder that bench publish wrote to")
    faults, notes = [], list(_strays(store, seen))
    opened: list[_Open] = []
    for run in seen.committed:
        wrong = list(_files(Published(store, run)))
        faults += wrong
        try:
            one = _opened(Published(store, run))
            rows = [line.row for line in one.lines]
            faults += [] if wrong else contradictions(run, rows, one.published.manifest(), one.run, one.index)
            opened += [one] if run in seen.standing else []
        except BenchError as error:
            faults += [] if wrong else [str(error)]
    faults += _retractions(store, seen)
    board_faults, board_notes = _board(store, seen)
    given = given_sources(sources, sorted({line.row["dataset"] for one in opened for line in one.lines}))
    for one in opened:
        _rescore(one, given, registry)
    notes += [*board_notes, *_rerun(opened, registry, rerun, seed)]
    return Checked([line for one in opened for line in one.lines], [*faults, *board_faults], notes)


def _files(published: Published) -> Iterator[str]:
    """Check every file of a run against its manifest, the manifest against the run's id, the commit against both."""
    try:
        published.commit()
        files = published.manifest()["files"]
    except PlaceError as error:
        yield str(error)
        return
    for name in files:
        try:
            published.file(name, files)
        except PlaceError as error:
            yield str(error)
    folder = f"runs/{published.run}"
    known = {f"{folder}/{name}" for name in (*files, "manifest.json")}
    yield from (f"{name}: not in the run's manifest" for name in published.store.tree(folder) if name not in known)


def _opened(published: Published) -> _Open:
    rows = published.rows()
    about = read_run(published.about(), published.path("run.json"))
    return _Open(published, [Line(published.run, row) for row in rows], about, published.index())


def _retractions(store: Store, seen: State) -> Iterator[str]:
    for run in seen.retracted:
        if run not in seen.committed:
            yield f"retractions/{run}.json: no such run was published, or its commit is gone"
        try:
            retraction(store, run)
        except PlaceError as error:
            yield str(error)


def _strays(store: Store, seen: State) -> Iterator[str]:
    """Note runs that were never committed: a publication that was cut off, and counts for nobody."""
    folders = {name.split("/")[1] for name in store.tree("runs")}
    yield from (f"runs/{run}: never committed, passed over; publish it again to finish" for run in sorted(folders - set(seen.committed)))
    yield from (f"run {run} is retracted: only its files were checked" for run in seen.retracted)


def _board(store: Store, seen: State) -> tuple[list[str], list[str]]:
    """Derive everything anew and compare it with what lies there: the board's rows by their values, all else byte for byte."""
    try:
        merged = merged_rows(store, seen)
        files = derived_files(store, seen, merged)
        about = untrusted.document(store.read(ABOUT, SMALL), ABOUT)
    except BenchError as error:
        return [f"the board cannot be derived anew: {error}"], []
    cure = f"derive it with bench publish --rebuild {store.shown}"
    faults = [] if _rows_of(store) == merged.rows else [f"{BOARD}: not what its runs give; {cure}"]
    if about.get("bench_source") != bench_source():
        # another bench draws other pages
        return faults, ["site: made by another state of bench, not compared; the board's rows were"]
    there = {name for folder in FOLDERS for name in store.tree(folder)}
    drawn = {name: content for name, content in files.items() if name != BOARD}
    faults += [f"{name}: not what its runs give; {cure}" for name, content in drawn.items() if not _same(store, name, content)]
    faults += [f"{name}: not made by bench from the runs; {cure}" for name in sorted(there - set(files))]
    return faults, []


def _same(store: Store, name: str, content: bytes) -> bool:
    return store.size(name) == len(content) and store.read(name) == content


def _rows_of(store: Store) -> list[Row] | None:
    try:
        most = {"most_rows": untrusted.MOST_PLACE_ROWS, "most_text": 4 * untrusted.MOST_TEXT}
        return untrusted.rows(store.read(BOARD), BOARD, **most)
    except PlaceError:
        return None


def _rescore(one: _Open, sources: Mapping[str, Any], registry: Registry) -> None:
    """Score every board of a run whose data is at hand."""
    rows = [line.row for line in one.lines]
    found = splits_of(one.run, rows, sources, registry)
    try:
        members = one.published.members()
    except PlaceError as error:
        one.lines = [replace(line, words=str(error), wrong=True) for line in one.lines]
        return
    for key in dict.fromkeys((row["task_id"], row["dataset"]) for row in rows):
        at = [n for n, row in enumerate(rows) if (row["task_id"], row["dataset"]) == key]
        data = found[key[1]]
        split = data.splits.get(key[0])
        if data.wrong or split is None:
            for n in at:
                one.lines[n] = replace(one.lines[n], words=data.wrong or data.missing, wrong=bool(data.wrong))
            continue
        board = Board(one.published, [rows[n] for n in at], split, registry.task(one.run.task))
        one.boards[key] = board
        for n, wrong in zip(at, rescored(board, one.index, members), strict=True):
            done = "" if rows[n]["status"] == "ok" else f"{rows[n]['status']}: has no score"
            level = "re-scored" if rows[n]["status"] == "ok" and not wrong else "claimed"
            one.lines[n] = replace(one.lines[n], level=level, words=wrong or done, wrong=bool(wrong))


def _rerun(opened: Sequence[_Open], registry: Registry, count: int, seed: int) -> list[str]:
    """Fit random cells again, of those whose data is at hand; which ones the seed says, and nobody who published.

    Notes where fewer than `count` can be.
    """
    able = [(one, n) for one in opened for n, line in enumerate(one.lines) if repeatable(line.row) and _board_of(one, line.row)]
    able.sort(key=lambda item: (item[0].published.run, str(row_key(item[0].lines[item[1]].row))))
    chosen = random.Random(seed).sample(able, min(count, len(able)))  # noqa: S311 - a draw that must be repeatable
    short = f"--rerun {count}: {len(able):,} rows can be fitted again here: of the others the data is not at hand, or they have no fit"
    notes = [short] if len(able) < count else []
    if not chosen:
        return notes
    with repeater(registry) as again:
        for one, n in chosen:
            line = one.lines[n]
            board = _board_of(one, line.row)
            if board is None or line.wrong:
                continue
            try:
                result = again.repeat(one.run, board, line.row, one.index)
            except BenchError as error:
                one.lines[n] = replace(line, words=str(error), wrong=True)
                continue
            one.lines[n] = replace(line, level=result.level, words=result.words, wrong=result.wrong)
    return notes


def _board_of(one: _Open, row: Row) -> Board | None:
    return one.boards.get((row["task_id"], row["dataset"]))
