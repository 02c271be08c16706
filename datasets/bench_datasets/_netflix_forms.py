"""The raw forms of ratings: the Netflix Prize's and MovieLens's, told apart by names and first lines."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataError, suggest
from bench.sources.cache import source_files

from ._netflix_blocks import unpacked

"""Stands in a folder that the simulator has written."""
PROBE, QUALIFYING = "probe.txt", "qualifying.txt"
TRAINING = "training_set"
"""Folder of the published archive that holds the `mv_*.txt`."""

HEAD_BYTES = 8_192
MOVIE_LINE = re.compile(r"\d+:")
NO_RATINGS = {PROBE: r"\d+", QUALIFYING: r"\d+,\d{4}-\d\d-\d\d"}
"""Patterns of the lines below a movie's line where no rating is among them."""

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Form:
    """Describe how a line of ratings is written."""

    name: str
    files: str
    """Pattern of the published names."""
    separator: str
    fields: tuple[str, ...]
    """Our names of the fields in their order; an empty name is passed over."""
    whole: bool
    """True: whole stars only; else half stars too."""
    line: str = ""
    """Pattern of a line; empty: known by a header or by its movies' lines."""

    @property
    def is_netflix(self) -> bool:
        """Return whether movies stand on lines of their own and times are days."""
        return "item" not in self.fields


COMBINED = Form("netflix-combined", r"combined_data_\d+\.txt(\.gz)?", ",", ("user", "rating", "time"), whole=True)
MV = Form("netflix-mv", r"mv_\d+\.txt(\.gz)?", ",", ("user", "rating", "time"), whole=True)
CSV = Form("movielens-csv", r"ratings\.csv(\.gz)?", ",", ("user", "item", "rating", "time"), whole=False)
DATA = Form("movielens-data", r"u\.data(\.gz)?", "\t", ("user", "item", "rating", "time"), whole=True, line=r"\d+\t\d+\t\S+\t\d+")
DAT = Form("movielens-dat", r"ratings\.dat(\.gz)?", ":", ("user", "", "item", "", "rating", "", "time"), False, r"\d+::\d+::\S+::\d+")
FORMS = (COMBINED, MV, CSV, DATA, DAT)
CSV_NAMES = {"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"}


@dataclass(frozen=True)
class Log:
    """The files that make up one log, and their form."""

    form: Form
    files: list[Path]
    folder: Path
    """Where probe and titles lie."""


def form_of(path: Path) -> str | None:
    """Name the form of the log at `path`; None where there is none, or none that is whole."""
    try:
        return find_log(path).form.name
    except (DataError, OSError):
        return None


def find_log(path: Path) -> Log:
    """Find the files of the one log at `path`; raise `DataError` where there is none, or are several."""
    source_files(path)
    if path.is_file():
        folder = path.parent.parent if path.parent.name == TRAINING else path.parent
        return Log(_form_of_file(path), [path], folder)
    found = _files_by_form(path)
    if not found:
        raise DataError(f"folder {path} holds no ratings; it needs combined_data_*.txt, mv_*.txt, ratings.csv, u.data or ratings.dat")
    if len(found) > 1 or (len(files := next(iter(found.values()))) > 1 and next(iter(found)) not in (COMBINED, MV)):
        names = [files[0].name for files in found.values()] if len(found) > 1 else [f.name for f in files]
        raise DataError(f"folder {path} holds several logs ({', '.join(names)}) that may overlap; give one of them")
    form = _form_of_file(next((f for f in files if f.stat().st_size), files[0]))
    _say_what_is_passed_over(path)
    folder = path.parent if path.name == TRAINING else path
    return Log(form if not form.is_netflix else next(iter(found)), files, folder)


def _files_by_form(folder: Path) -> dict[Form, list[Path]]:
    files = sorted(f for below in (folder, folder / TRAINING) if below.is_dir() for f in below.iterdir())
    named = {form: [f for f in files if re.fullmatch(form.files, f.name)] for form in FORMS}
    return {form: matching for form, matching in named.items() if matching}


def _say_what_is_passed_over(folder: Path) -> None:
    for base in {folder, folder.parent if folder.name == TRAINING else folder}:
        if (base / QUALIFYING).is_file():
            log.info("%s holds no ratings and is passed over", base / QUALIFYING)


def _form_of_file(file: Path) -> Form:
    """Recognise a file by its first lines; raise `DataError` that says what it is instead."""
    with unpacked(file) as stream:
        head = stream.read(HEAD_BYTES).decode("latin-1")
    lines = [line.strip() for line in head.split("\n") if line.strip()]
    first = lines[0] if lines else ""
    if MOVIE_LINE.fullmatch(first):
        return _netflix_form(file, lines)
    for form in (DATA, DAT):
        if re.fullmatch(form.line, first):
            return form
    if len(set(first.split(",")) & set(CSV_NAMES.values())) >= 2:
        return _with_header(file, first)
    raise DataError(
        f"{file}: row 1 is {first[:60]!r}, which begins no log of ratings; expected a line MOVIE_ID: (Netflix Prize), "
        "the header userId,movieId,rating,timestamp, or user, item, rating and time split by a tab or by '::' (MovieLens)"
    )


def _netflix_form(file: Path, lines: list[str]) -> Form:
    below = next((line for line in lines if not MOVIE_LINE.fullmatch(line)), "")
    other = next((name for name, line in NO_RATINGS.items() if re.fullmatch(line, below)), None)
    if other:
        raise DataError(f"{file} holds no ratings ({below[:60]!r}, the form of {other}); give the training files beside it")
    return MV if re.fullmatch(MV.files, file.name) else COMBINED


def _with_header(file: Path, header: str) -> Form:
    """Place the columns by their names; other columns are passed over."""
    have = [name.strip() for name in header.split(",")]
    missing = [name for name in CSV_NAMES.values() if name not in have]
    if missing:
        free = [name for name in have if name not in CSV_NAMES.values()]
        raise DataError(f"{file}: no column {missing[0]!r}; {suggest(missing[0], free or have)}")
    ours = {theirs: name for name, theirs in CSV_NAMES.items()}
    return Form(CSV.name, CSV.files, ",", tuple(ours.get(name, "") for name in have), whole=False)
