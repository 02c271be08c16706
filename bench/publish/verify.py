"""Verify a place: what was committed is what lies there, follows from the data, and comes out again.

Three levels, each row's own: `claimed` (its files are those that were published, no more), `re-scored` (its prediction,
scored against truth rebuilt from the data, gives every number of the row), `re-run` (fitted again with its parameters and
seed, the model predicts the same). A row's level is the highest at which it was checked and agreed.

What each level finds: whoever changes a file without making its run's id anew is found at `claimed`. Whoever publishes a
consistent lie, all digests included, is found at `re-scored` where a score, a prediction, a fingerprint or the members are
not what the data gives, and at `re-run` where parameters or predictions are not what the model gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.board.merge import row_key
from bench.board.schema import Row
from bench.errors import BenchError
from bench.execute.jobs import bench_source
from bench.execute.sandbox import Sandbox, chosen, words_of
from bench.publish import chain, draw, records, signatures, untrusted
from bench.publish.consistent import contradictions
from bench.publish.derive import ABOUT, BOARD, FOLDERS, derived_files, derived_there, merged_rows
from bench.publish.place import SMALL, Published, State, retraction, state
from bench.publish.rerun import repeatable, repeater
from bench.publish.rescore import RescoredBoard, rescored
from bench.publish.searches import Searches
from bench.publish.searches import read as read_searches
from bench.publish.signers import Signers, read_signers
from bench.publish.store import PlaceError, Store, open_store
from bench.publish.truth import PublishedRun, parse_sources, read_run, splits_of
from bench.publish.validated import validated
from bench.registry import Registry
from bench.runs.ensemble import BLENDS
from bench.sources.cache import cache_folder

SEARCHED = ("valid_score", "trials", "fits", "failed_trials", "stopped_by")
"""Columns that follow from a run's searches."""


@dataclass(frozen=True)
class VerifiedRow:
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

    lines: Sequence[VerifiedRow]
    faults: Sequence[str] = ()
    """What is wrong with files, runs and the derived board; empty: nothing."""
    notes: Sequence[str] = ()
    """What was passed over, and why; what is odd; who signed."""
    heads: Sequence[str] = ()
    """Digests of the latest commits: as long as they are found again, nothing before them was changed or removed."""

    @property
    def failures(self) -> list[str]:
        """Name everything that failed."""
        return [*self.faults, *(f"{line.name}: {line.words}" for line in self.lines if line.wrong)]


@dataclass
class _Open:
    """One readable run while it is checked."""

    published: Published
    lines: list[VerifiedRow]
    run: PublishedRun
    index: list[dict[str, Any]] = field(default_factory=list)
    searches: Searches | None = None
    boards: dict[tuple[str, str], RescoredBoard] = field(default_factory=dict)


def verify(
    place: str,
    registry: Registry,
    *,
    sources: Sequence[str] = (),
    rerun: int = 0,
    seed: int = 0,
    heads: Sequence[str] = (),
    signers: Path | None = None,
    sandbox: str = "auto",
) -> Checked:
    """Check a place; `sources`: NAME=PATH words, `rerun`: how many random cells are fitted again, drawn by `seed`.

    `heads`: what earlier verifications named as the place's heads; `signers`: a file of who may sign (`bench.publish.signers`);
    `sandbox`: how the workers of those fits are confined.
    Raises `PlaceError` only where nothing can be checked: no run is published, or the place cannot be reached.
    """
    allowed = read_signers(signers) if signers is not None else None
    store = open_store(place)
    seen = state(store)
    if not seen.committed:
        raise PlaceError(f"{store.shown}: no run is published here; give the folder that bench publish wrote to")
    faults, notes = list(chain.broken(store, seen.committed, heads)), list(_strays(store, seen))
    signed, unsigned = _signatures(store, seen, allowed)
    faults, notes = [*faults, *unsigned], [*notes, *signed]
    opened, wrong = _opened_runs(store, seen)
    faults += wrong
    faults += _retractions(store, seen)
    board_faults, board_notes = _board(store, seen)
    given = parse_sources(sources, sorted({line.row["dataset"] for one in opened for line in one.lines}))
    for one in opened:
        notes += [*_rescore(one, given, registry), *_known_truth(one, registry)]
        if one.searches is None:
            notes.append(f"run {one.published.run}: published without its searches: {', '.join(SEARCHED)} are claimed")
    confined = chosen(sandbox, [cache_folder().parent, *given.values()]) if rerun else None
    notes += [*board_notes, *_rerun(opened, registry, confined, rerun, seed)]
    notes += [f"--rerun: {lacking}"] if rerun and (lacking := words_of(confined, sandbox)) else []
    recorded_faults, recorded = _records(store, seen, opened, allowed)
    faults, notes = [*faults, *recorded_faults], [*notes, *recorded]
    lines = [line for one in opened for line in one.lines]
    return Checked(lines, [*dict.fromkeys(faults), *board_faults], notes, chain.heads(store, seen.committed) if not faults else [])


def _records(store: Store, seen: State, opened: Sequence[_Open], allowed: Signers | None) -> tuple[list[str], list[str]]:
    """Compare what earlier verifications have recorded with what this one found: a record must not say more."""
    found, faults = records.records(store, seen)
    lines = {one.published.run: [(line.level, line.wrong) for line in one.lines] for one in opened}
    notes: list[str] = []
    there = signatures.there(store)
    for record in found:
        for wrong, words in records.compared(record, lines):
            (faults if wrong else notes).append(words)
        who, wrong_signatures = signatures.check(store, there, f"{records.FOLDER}/{record.name}.json", allowed, f"record {record.name}")
        notes += who
        faults += wrong_signatures
    return faults, notes


def recorded_rows(found: Checked) -> dict[str, dict[str, list[int]]]:
    """Sort the rows of a verification for its record: run -> level -> places in the run."""
    made: dict[str, dict[str, list[int]]] = {}
    place: Counter[str] = Counter()
    for line in found.lines:
        level = "failed" if line.wrong else line.level
        if level in records.LEVELS:
            made.setdefault(line.run, {}).setdefault(level, []).append(place[line.run])
        place[line.run] += 1
    return {run: made.get(run, {}) for run in place}


def _opened_runs(store: Store, seen: State) -> tuple[list[_Open], list[str]]:
    """Open every run, and return those that are not retracted and what is wrong with any."""
    opened: list[_Open] = []
    faults: list[str] = []
    for run in seen.committed:
        wrong = list(_files(Published(store, run)))
        faults += wrong
        try:
            one = _opened(Published(store, run))
            rows = [line.row for line in one.lines]
            faults += [] if wrong else contradictions(run, rows, one.published.manifest(), one.run, one.index, one.searches)
            opened += [one] if run in seen.active_runs else []
        except BenchError as error:
            faults += [] if wrong else [str(error)]
    return opened, faults


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
    return _Open(published, [VerifiedRow(published.run, row) for row in rows], about, published.index(), read_searches(published))


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
    if not derived_there(store):
        return [], [f"nothing is derived here: only the runs were checked; bench publish --rebuild {store.shown} makes board and site"]
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


def _rescore(one: _Open, sources: Mapping[str, Any], registry: Registry) -> list[str]:
    """Score every board of a run whose data is at hand; return what is odd."""
    rows = [line.row for line in one.lines]
    found = splits_of(one.run, rows, sources, registry)
    try:
        members = one.published.members()
    except PlaceError as error:
        one.lines = [replace(line, words=str(error), wrong=True) for line in one.lines]
        return []
    odd: list[str] = []
    for key in dict.fromkeys((row["task_id"], row["dataset"]) for row in rows):
        at = [n for n, row in enumerate(rows) if (row["task_id"], row["dataset"]) == key]
        data = found[key[1]]
        split = data.splits.get(key[0])
        if data.wrong or split is None:
            for n in at:
                one.lines[n] = replace(one.lines[n], words=data.wrong or data.missing, wrong=bool(data.wrong))
            continue
        board = RescoredBoard(one.published, [rows[n] for n in at], split, registry.task(one.run.task))
        one.boards[key] = board
        found_wrong, strange = rescored(board, one.index, members)
        odd += [f"run {one.published.run}: {words}" for words in strange]
        if one.searches is not None:
            unproven, unchecked = validated(board, one.searches)
            found_wrong = [first or second for first, second in zip(found_wrong, unproven, strict=True)]
            odd += [f"run {one.published.run}: {words}" for words in unchecked]
        for n, wrong in zip(at, found_wrong, strict=True):
            done = "" if rows[n]["status"] == "ok" else f"{rows[n]['status']}: has no score"
            level = "re-scored" if rows[n]["status"] == "ok" and not wrong else "claimed"
            one.lines[n] = replace(one.lines[n], level=level, words=wrong or done, wrong=bool(wrong))
    return odd


def _known_truth(one: _Open, registry: Registry) -> Iterator[str]:
    """Note models of others that competed on simulated data whose seed they could know."""
    own = {name for name, source in registry.sources["bench.models"].items() if source.shipped}
    rows = [line.row for line in one.lines if line.row["simulated"] and line.row["status"] == "ok"]
    foreign = sorted({row["model"] for row in rows if row["model"] not in own and row["model"] not in BLENDS})
    if foreign and one.run.truth_seed == one.run.seed:
        yield (
            f"run {one.published.run}: {', '.join(foreign)}: not the project's own, on simulated data of a seed that a plugin can know "
            f"({one.run.seed}): it could have made the truth again; bench run --set truth-seed=draw keeps the seed secret"
        )


def _signatures(store: Store, seen: State, allowed: Signers | None) -> tuple[list[str], list[str]]:
    """Name who signed each run; with a list of signers, a run that none of them signed is a fault."""
    there = signatures.there(store)
    checked = [signatures.check(store, there, f"commits/{run}.json", allowed, f"run {run}") for run in seen.committed]
    return [words for notes, _ in checked for words in notes], [words for _, faults in checked for words in faults]


def _rerun(opened: Sequence[_Open], registry: Registry, sandbox: Sandbox | None, count: int, seed: int) -> list[str]:
    """Fit cells again, of those whose data is at hand; which ones a hash of the board and the seed say, and nobody who published.

    Notes where fewer than `count` can be, which models are not installed here, and what the draw can miss.
    """
    able = [(one, n) for one in opened for n, line in enumerate(one.lines) if repeatable(line.row) and _board_of(one, line.row)]
    known = set(registry.names("bench.models"))
    foreign = sorted({one.lines[n].row["model"] for one, n in able} - known) if count and not registry.files else []
    able = [(one, n) for one, n in able if one.lines[n].row["model"] not in foreign]
    names = [f"{one.published.run} {row_key(one.lines[n].row)}" for one, n in able]
    chosen = [able[at] for at in draw.order(names, [one.published.run for one in opened], seed)[:count]]
    short = f"--rerun {count}: {len(able):,} rows can be fitted again here: of the others the data is not at hand, or they have no fit"
    notes = [short] if len(able) < count else []
    notes += [f"--rerun: {', '.join(foreign)}: not installed here, so that nobody has checked what these rows claim"] if foreign else []
    notes += [f"--rerun: {draw.words(len(able), len(chosen))}"] if chosen and len(chosen) < len(able) else []
    if not chosen:
        return notes
    with repeater(registry, sandbox) as again:
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


def _board_of(one: _Open, row: Row) -> RescoredBoard | None:
    return one.boards.get((row["task_id"], row["dataset"]))
