"""What every dataset adapter must keep, as plain functions: `check(adapter_class, data)` raises `CheckError`, or returns.

`data` is a file or folder in the raw form; where there is none, the adapter's own simulator writes it. The names of the
checks are those of their functions, read as sentences.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from bench.api import Dataset
from bench.data.events import Events
from bench.data.series import Series
from bench.errors import BenchError, DataError
from bench.testing.answers import CheckError, NotApplicableError

DatasetCall: TypeAlias = Callable[[type[Dataset], Path | None], None]
SIZE, SEED = 60, 0
"""Users and seed of the simulated data that checks read."""
RUBBISH = {"rubbish.bin": bytes(range(256)) * 8, "rubbish.csv": b"\xff\xfe,\0\0\n\0,,,\n" * 20}
"""Files that are nobody's form."""


@dataclass(frozen=True)
class DatasetCheck:
    """One check of an adapter."""

    call: DatasetCall

    @property
    def name(self) -> str:
        """Return the function's name as a sentence."""
        return self.call.__name__.replace("_", " ")


@contextmanager
def raw(adapter: Dataset, data: Path | None) -> Iterator[Path]:
    """Return the raw form to read: `data`, or what the simulator writes into a folder of its own."""
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield simulated(adapter, Path(name), SEED)


def simulated(adapter: Dataset, folder: Path, seed: int) -> Path:
    """Write a simulated log below `folder`."""
    if not adapter.simulated_name:
        raise NotApplicableError("it has no simulator, and no data is given")
    own = folder / f"{adapter.simulated_name}-{seed}"
    own.mkdir()
    adapter.simulate(own, SIZE, seed)
    return own


def its_card_and_options_are_filled_in(adapter: type[Dataset], data: Path | None) -> None:  # noqa: ARG001 - one signature for all
    """Look for the texts that people are shown."""
    for name in ("title", "licence", "source"):  # a citation only where there is one
        if not str(getattr(adapter.card, name)).strip():
            raise CheckError(f"its card says nothing under {name!r}")
    if wordless := [key for key, text in adapter.options.items() if not text.strip()]:
        raise CheckError(f"its option {wordless[0]!r} has no line of help")


def it_imports_without_a_gpu(adapter: type[Dataset], data: Path | None) -> None:  # noqa: ARG001 - as above
    """Import the plugin's module in a process of its own that sees no GPU."""
    from bench.testing.importing import import_alone

    import_alone(adapter)


def it_recognises_its_own_form_and_no_rubbish(adapter: type[Dataset], data: Path | None) -> None:
    """Ask `detect` about its data, an empty folder, and files that are nobody's."""
    own = adapter()
    with _rubbish() as files:
        for path in (files[0].parent / "empty", *files):
            if (form := own.detect(path)) is not None:
                raise CheckError(f"detect takes {path.name} for {form!r}; return None for what is not yours")
    with raw(own, data) as path:
        form = own.detect(path)
        if not isinstance(form, str) or not form:
            raise CheckError(f"detect gives {form!r} for its own data; name the form")


def a_seed_simulates_the_same_bytes_and_another_seed_others(adapter: type[Dataset], data: Path | None) -> None:  # noqa: ARG001 - as above
    """Simulate twice with one seed, once with another."""
    own = adapter()
    with tempfile.TemporaryDirectory(prefix="bench-") as one, tempfile.TemporaryDirectory(prefix="bench-") as two:
        first, again = digests(simulated(own, Path(one), SEED)), digests(simulated(own, Path(two), SEED))
        other = digests(simulated(own, Path(two), SEED + 1))
    if not first:
        raise CheckError("its simulator writes no file")
    if first != again:
        raise CheckError(f"simulated twice with one seed, {_first_other(first, again)} differs; draw from the seed alone")
    if first == other:
        raise CheckError("another seed simulates the same bytes; draw from the seed")


def it_reads_valid_events_or_series(adapter: type[Dataset], data: Path | None) -> None:
    """Read, and compare with what `Events.build` or `Series.build` would have made of it."""
    own = adapter()
    with raw(own, data) as path:
        found = own.read(path, {})
    if not isinstance(found, Events | Series):
        raise CheckError(f"read gives {type(found).__name__}, expected bench.Events or bench.data.series.Series")
    given: dict[str, Any] = {"activity": found.activity} if isinstance(found, Events) else {}
    try:
        built = type(found).build(found.frame, name=found.name, **given)
    except BenchError as error:
        raise CheckError(f"what it reads breaks the rules: {error}; make it with {type(found).__name__}.build") from error
    if not built.frame.equals(found.frame) or built.frame.schema != found.frame.schema:
        raise CheckError(f"what it reads is not sorted and typed; make it with {type(found).__name__}.build")
    _refuse_count(found)


def read_twice_it_gives_the_same_fingerprint(adapter: type[Dataset], data: Path | None) -> None:
    """Read twice with two instances."""
    from bench.data.fingerprint import fingerprint

    with raw(adapter(), data) as path:
        first, again = (fingerprint(adapter().read(path, {}), adapter.version) for _ in range(2))
    if first != again:
        raise CheckError("read twice, the data has two fingerprints; read without chance, clock or order of files")


def reading_leaves_the_source_as_it_was(adapter: type[Dataset], data: Path | None) -> None:
    """Compare the files, before and after."""
    own = adapter()
    with raw(own, data) as path:
        before = digests(path)
        own.detect(path)
        own.read(path, {})
        if before != (after := digests(path)):
            raise CheckError(f"reading changes the source: {_first_other(before, after)}; write nothing there")


def rubbish_is_refused_in_one_line(adapter: type[Dataset], data: Path | None) -> None:  # noqa: ARG001 - as above
    """Read what is nobody's form, an empty folder, and a path where nothing lies: `DataError`, in a line that names it."""
    with _rubbish() as files:
        home = files[0].parent
        for path in (*files, home / "empty", home / "absent"):
            try:
                adapter().read(path, {})
            except DataError as error:
                if "\n" in str(error) or path.name not in str(error):
                    raise CheckError(f"its refusal of {path.name} is not one line that names the file: {str(error)!r}") from error
            except Exception as error:
                raise CheckError(f"{path.name} raises {type(error).__name__}, expected DataError: {error}") from error
            else:
                raise CheckError(f"{path.name} is read as data; raise DataError that names file and cure")


def digests(path: Path) -> dict[str, str]:
    """Digest every file at or below `path`, by relative name."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return {str(p.relative_to(path.parent)).partition("/")[2] or p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@contextmanager
def _rubbish() -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        home = Path(name)
        (home / "empty").mkdir()
        for file, content in RUBBISH.items():
            (home / file).write_bytes(content)
        yield [home / file for file in RUBBISH]


def _refuse_count(found: Events | Series) -> None:
    dropped = sum(found.cleaning.values())
    if any(not isinstance(n, int) or n < 0 for n in found.cleaning.values()):
        raise CheckError(f"cleaning holds {dict(found.cleaning)}, expected a count of rows for each reason")
    if found.rows_read < len(found) and dropped:
        raise CheckError(f"rows_read is {found.rows_read:,}, but {len(found):,} rows came of it and {dropped:,} were dropped")


def _first_other(one: dict[str, str], other: dict[str, str]) -> str:
    return next(name for name in sorted({*one, *other}) if one.get(name) != other.get(name))


DATASET_CHECKS: tuple[DatasetCheck, ...] = (
    DatasetCheck(its_card_and_options_are_filled_in),
    DatasetCheck(it_imports_without_a_gpu),
    DatasetCheck(it_recognises_its_own_form_and_no_rubbish),
    DatasetCheck(a_seed_simulates_the_same_bytes_and_another_seed_others),
    DatasetCheck(it_reads_valid_events_or_series),
    DatasetCheck(read_twice_it_gives_the_same_fingerprint),
    DatasetCheck(reading_leaves_the_source_as_it_was),
    DatasetCheck(rubbish_is_refused_in_one_line),
)
