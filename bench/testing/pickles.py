"""Find pickles among the files that a model wrote: whoever loads one runs what its author, or anybody since, put into it."""

from __future__ import annotations

import gzip
import io
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SHORTEST = 4
"""Bytes below which a file that happens to read as a pickle is taken for text."""


def pickled(folder: Path) -> list[str]:
    """List the files below `folder` that are pickles or hold one, by name: packed, zipped, or as an array of objects."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [str(path.relative_to(folder)) for path in files if any(_is_pickle(part) for part in _parts(path.read_bytes()))]


def _parts(content: bytes) -> Iterator[bytes]:
    """Return the content itself and what is packed in it."""
    yield content
    with suppress(OSError, EOFError, zlib.error):
        yield gzip.decompress(content)
    with suppress(zlib.error):
        yield zlib.decompress(content)
    if zipfile.is_zipfile(io.BytesIO(content)):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def _is_pickle(content: bytes) -> bool:
    """Return whether all opcodes up to the last byte are a pickle's, or it is an array that holds one."""
    if content.startswith(b"\x93NUMPY"):
        return b"'|O'" in content[:256]
    if len(content) < SHORTEST:
        return False
    stream = io.BytesIO(content)
    try:
        for _ in pickletools.genops(stream):
            pass
    except Exception:  # noqa: BLE001 - bytes that are no pickle break the reader in many ways, and each says no
        return False
    return True
