"""Predictions on disk: one npz a job in the run folder, an array for each name and part."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from bench.data.ragged import Array
from bench.tasks.base import Prediction


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Write all parts into one file, `PART.NAME` an array, whole or not at all, and on the disk when it returns."""
    path.parent.mkdir(exist_ok=True)
    partial, archive = path.with_suffix(".part"), io.BytesIO()
    # in memory first: an archive that Ctrl-C leaves half closed complains when it is collected, if its file is closed by then
    np.savez(archive, **{f"{part}.{name}": array for part, arrays in enumerate(prediction) for name, array in arrays.items()})  # type: ignore[arg-type]
    with partial.open("wb") as file:
        file.write(archive.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def seals(files: Iterable[Path]) -> dict[Path, str]:
    """Take the sha256 of files: what was stored before a worker saw its truth must be the same when the job ends."""
    return {file: _sha256(file) for file in files}


def broken(sealed: Mapping[Path, str]) -> list[Path]:
    """List the sealed files that are gone or no longer what they were."""
    return [file for file, digest in sealed.items() if not file.is_file() or _sha256(file) != digest]


def stored_digest(path: Path) -> str:
    """Return the sha256 of a file, or of all files of a folder by name and content; empty where there is neither."""
    if path.is_file():
        return _sha256(path)
    if not path.is_dir():
        return ""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return hashlib.sha256("\n".join(f"{file.relative_to(path)} {_sha256(file)}" for file in files).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def keep_folder(source: Path, target: Path) -> None:
    """Copy a folder of plain files, whole or not at all, and on the disk when it returns.

    Links, what is no file and what its writer has made unreadable stay behind.
    """
    partial = target.with_name(f"{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    partial.mkdir(parents=True)
    for file in sorted(source.rglob("*")):
        if file.is_file() and not file.is_symlink() and os.access(file, os.R_OK):
            copy = partial / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            with copy.open("rb") as written:
                os.fsync(written.fileno())
    partial.replace(target)


def read_prediction(path: Path) -> list[dict[str, Array]]:
    """Read the parts back, in order."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    parts: list[dict[str, Array]] = [{} for _ in {name.partition(".")[0] for name in arrays}]
    for name, array in arrays.items():
        part, _, field = name.partition(".")
        parts[int(part)][field] = array
    return parts
