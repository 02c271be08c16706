"""Read text files as a sequence of blocks of whole lines, so that memory does not grow with the log."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from bench.errors import DataError
from bench.sources.read_progress import reading

BLOCK = 32 << 20
"""Bytes of a block: large enough to parse on all cores, small beside the log."""
BOM = b"\xef\xbb\xbf"
ADDED = -1
"""Stands for the place of lines that are in no file."""


@dataclass
class Block:
    """Whole lines of one file, or of many small ones, and where in which file each part begins, in bytes."""

    parts: list[bytes] = field(default_factory=list)
    places: list[tuple[Path, int]] = field(default_factory=list)
    size: int = 0

    def add(self, text: bytes, file: Path, at: int) -> None:
        """Append whole lines that begin at byte `at` of `file`."""
        self.parts.append(text)
        self.places.append((file, at))
        self.size += len(text)

    def place(self, line: int) -> tuple[Path, int, str]:
        """Find the block's line again: (file, number of the line there, its text); counts lines only now that one is asked for."""
        for part, (file, at) in zip(self.parts, self.places, strict=True):
            lines = part.split(b"\n")
            if line < len(lines) - 1 and at != ADDED:
                return file, _lines_before(file, at) + line + 1, lines[line].decode("latin-1").strip()
            line -= len(lines) - 1
        raise IndexError(f"the block has no line {line}")


def blocks(files: Sequence[Path], before: bytes = b"", size: int = BLOCK) -> Iterator[Block]:
    """Read `files` in blocks of about `size` bytes; `before` is put at the head of each file."""
    block = Block()
    for file in files:
        if before:
            block.add(before, file, ADDED)
        for at, text in _whole_lines(file, size):
            block.add(text, file, at)
            if block.size >= size:
                yield block
                block = Block()
    if block.parts:
        yield block


def unreadable(file: Path, error: Exception) -> DataError:
    """Make the error of a file that cannot be read or unpacked."""
    return DataError(f"cannot read {file} ({error}); check its permissions, or copy or download it again")


@contextmanager
def unpacked(file: Path) -> Iterator[BinaryIO]:
    """Open a file, packed or not, behind its byte-order mark; raise `DataError` where it cannot be read."""
    try:
        with cast("BinaryIO", gzip.open(file)) if file.suffix == ".gz" else file.open("rb") as stream:
            if stream.read(len(BOM)) != BOM:
                stream.seek(0)
            yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(file, error) from error


def _whole_lines(file: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """Read a file in pieces that end where a line ends, with their places; a last line without an end is given one."""
    with unpacked(file) as stream:
        at = stream.tell()
        while text := stream.read(size):
            if not text.endswith(b"\n"):
                text += stream.readline()
            yield at, text if text.endswith(b"\n") else text + b"\n"
            at += len(text)
            # of a packed file the size is that of what is packed: then only the bytes mean something
            reading(file, at, file.stat().st_size)


def _lines_before(file: Path, end: int) -> int:
    """Return the number of lines in the first `end` bytes."""
    found = 0
    with unpacked(file) as stream:
        for at in range(stream.tell(), end, BLOCK):
            found += stream.read(min(BLOCK, end - at)).count(b"\n")
    return found
