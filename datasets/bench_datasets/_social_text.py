"""Read tables of plain text, fields parted by commas or by any white space, as text; and refuse what cannot be read.

Everything works on whole files or columns: a network log may have tens of millions of lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bench.errors import DataError

from ._tables import HEAD_BYTES, TOLERATED, UTF8_BOM, content_of, head_of, kind_of

COMMENT = "#"
BLANKS = bytes.maketrans(b"\t\v\f\r", b"   \n")
DOUBLED = ((b"  ", b" "), (b" \n", b"\n"), (b"\n ", b"\n"), (b"\n\n", b"\n"))
QUOTES = '" '


@dataclass(frozen=True)
class Table:
    """One file as text: columns named by its header, or `0`, `1`... where it has none."""

    file: Path
    rows: pl.DataFrame
    has_header: bool

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.rows.width


def suffix_of(file: Path) -> str:
    """Return a file's suffix in lower case, whether it is packed or not."""
    return kind_of(file).removesuffix(".gz")


def sniffed(file: Path) -> list[str]:
    """Split the first line of a file that is neither empty nor a comment; nothing where it cannot be read."""
    try:
        return _split(head_of(file).removeprefix(UTF8_BOM))[0]
    except DataError:
        return []


def is_number(text: str) -> bool:
    """Return whether a field is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_table(file: Path) -> Table:
    """Read a file as text; its first line is a header where the last field is no number. Raise `DataError`."""
    text = content_of(file)
    names, separator = _split(text)
    if not names:
        raise DataError(f"{file} holds no row; copy or download it again")
    has_header = not is_number(names[-1])
    if has_header and len(set(names)) < len(names):
        raise DataError(f"{file}: two columns have one name in the header {', '.join(names)}; rename one")
    names = names if has_header else [str(i) for i in range(len(names))]
    rows = _fields(_squeezed(text), separator, len(names), file)
    rows.columns = names
    return Table(file, rows[1:] if has_header else rows, has_header)


def readable(values: pl.Series, text: pl.Series, where: Path, column: str, cure: str) -> pl.Series:
    """Return `values`, null where `text` could not be read; raise where that is all rows or more than 1 %.

    One row is always forgiven unless it is the only one; an empty text counts as unreadable.
    """
    bad = values.null_count()
    if bad and (bad == len(values) or bad > max(1, TOLERATED * len(values))):
        row = values.is_null().arg_max() or 0
        told = f"{bad:,} of {len(values):,} rows, first on row {row + 1} ({text[row] or ''!r})"
        raise DataError(f"{where}: column {column!r} cannot be read on {told}; {cure}")
    return values


def _split(text: bytes) -> tuple[list[str], str]:
    """Split the first line that is neither empty nor a comment, and say by what: a comma or white space."""
    lines = text[_past_comments(text) :][:HEAD_BYTES].decode("latin-1").splitlines()
    line = next((line for line in lines if line.strip() and not line.lstrip().startswith(COMMENT)), "")
    separator = "," if "," in line else " "
    return [field.strip(QUOTES) for field in (line.split(",") if separator == "," else line.split())], separator


def _past_comments(text: bytes) -> int:
    """Find where the comments at the head end: they may be longer than what is looked at."""
    at = 0
    while text[at : at + 1] == COMMENT.encode():
        at = text.find(b"\n", at) + 1 or len(text)
    return at


def _squeezed(text: bytes) -> bytes:
    """Leave single spaces between fields and single line ends between lines; replacing bytes runs at memory speed."""
    text = text.translate(BLANKS)
    for double, single in DOUBLED:
        while double in text:
            text = text.replace(double, single)
    return text.strip()


def _fields(text: bytes, separator: str, width: int, file: Path) -> pl.DataFrame:
    """Split into `width` columns of text; a line with more fields is an error, one with fewer has nulls."""
    names = [*map(str, range(width)), "more"]
    # quotes mean nothing to the parser: a lone one inside a name must not swallow lines
    rows = pl.read_csv(
        f"{separator.join(names)}\n".encode() + text,
        separator=separator,
        infer_schema=False,
        truncate_ragged_lines=True,
        quote_char=None,
        comment_prefix=COMMENT,
    )
    if rows["more"].null_count() < len(rows):
        row = rows["more"].is_not_null().arg_max() or 0
        shown = separator.join(field or "" for field in rows.row(row))[:60]
        raise DataError(f"{file}: line {row + 1} has more than {width} fields ({shown!r}); part fields by one kind of separator")
    return rows.drop("more").with_columns(pl.all().str.strip_chars(QUOTES))
