"""The raw forms of retail logs: tell them apart by their first lines, and read each as a table of text.

Nothing is typed here. Text keeps ids such as `00001`, `85123A` and `C536379` whole and leaves the judgement of dates
and numbers to one place, `_retail_clean`.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

import fastexcel
import polars as pl

from bench.api import SIMULATION
from bench.errors import DataError
from bench.sources.cache import source_files

from ._tables import HEAD_BYTES, Part, content_of, first_line, head_of, kind_of, read_csv

TEXT = (".csv", ".txt", ".csv.gz", ".txt.gz")
EXCEL = (".xlsx", ".xlsm")
"""Stands in a folder that the simulator has written; the log beside it is `SALES`."""
SALES = "sales.csv"

CDNOW_NAMES = ("customer_id", "date", "number_of_cds", "dollar_value")
CDNOW_LINE = re.compile(r"\s*\d+(\s+\d+)?\s+\d{8}\s+\d+\s+\d+(\.\d+)?\s*")


def form_of(path: Path) -> str | None:
    """Name the raw form at `path` from the first lines of its first file; None: not a retail log."""
    files = _candidates(path)
    if (path / SIMULATION).is_file() and (path / SALES).is_file():
        files = [path / SALES]
    forms = [_sniff(f) for f in files[:5]]
    form = next((f for f in forms if f is not None), None)
    many = path.is_dir() and len(files) > 1 and form is not None and form.endswith("csv")
    return f"{form}-folder" if many else form


def log_files(path: Path) -> list[Path]:
    """List the files that make up the log at `path`; raise `DataError` where a folder mixes several logs."""
    found = source_files(path)
    if path.is_file():
        return [path]
    if (path / SIMULATION).is_file() and (path / SALES).is_file():
        return [path / SALES]
    # a README.txt is no log
    files = [f for f in _candidates(path) if not f.name.startswith(".") and (kind_of(f) != ".txt" or _sniff(f))]
    below = {f.parent.name for f in found if f.parent != path and kind_of(f) in TEXT + EXCEL}
    if not files:
        hint = f"give its folder {min(below)}" if below else f"it needs {', '.join(TEXT + EXCEL)}"
        raise DataError(f"folder {path} holds no file of a retail log; {hint}")
    if below:
        raise DataError(f"folder {path} holds {files[0].name} and the folder {min(below)}, two logs that may overlap; give one of them")
    if len(files) > 1 and any(kind_of(f).removesuffix(".gz") != ".csv" for f in files):
        raise DataError(f"folder {path} holds several logs ({', '.join(f.name for f in files[:3])}); give one file")
    return files


def is_cdnow(file: Path) -> bool:
    """Return whether `file` is whitespace-separated text, as CDNOW's are."""
    return kind_of(file) in TEXT and "," not in first_line(head_of(file))


def read_parts(file: Path) -> list[Part]:
    """Read a comma-separated file as one part, a workbook as one part a sheet; raise `DataError`."""
    if kind_of(file) in EXCEL:
        return _read_workbook(file)
    return [Part(str(file), read_csv(content_of(file), file))]


def read_cdnow(file: Path) -> Part:
    """Read whitespace-separated text: with a header by its names, without one by the number of fields."""
    lines = pl.Series("line", content_of(file).decode().splitlines(), dtype=pl.String)
    fields = lines.str.strip_chars().str.extract_all(r"\S+")
    fields = fields.filter(fields.list.len() > 0)
    if fields.is_empty():
        raise DataError(f"{file} holds no row; copy or download it again")
    first = fields[0].to_list()
    if any(re.search("[A-Za-z]", word) for word in first):
        names, fields = first, fields[1:]
    else:
        names = ["customer_id", "sample_id", *CDNOW_NAMES[1:]] if len(first) > len(CDNOW_NAMES) else list(CDNOW_NAMES)
    return Part(str(file), pl.DataFrame({name: fields.list.get(i, null_on_oob=True) for i, name in enumerate(names)}))


def _candidates(path: Path) -> list[Path]:
    """List the files whose names could be a log's: `path` itself, or those directly in the folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [f for f in files if f.is_file() and kind_of(f) in TEXT + EXCEL]


def _sniff(file: Path) -> str | None:
    try:
        return _sniff_workbook(file) if kind_of(file) in EXCEL else _sniff_text(first_line(head_of(file)))
    except (OSError, DataError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError):
        # an unknown version or packing is a NotImplementedError, which is a RuntimeError
        return None


def _sniff_text(line: str) -> str | None:
    names = {name.strip(' "') for name in line.split(",")}
    if {"StockCode", "InvoiceDate", "Quantity"} <= names:
        return "uci-csv" if "InvoiceNo" in names else "uci-ii-csv"
    if {"customer_id", "number_of_cds"} <= set(line.split()):
        return "cdnow-master"
    if CDNOW_LINE.fullmatch(line):
        return "cdnow-sample" if len(line.split()) > len(CDNOW_NAMES) else "cdnow-master"
    return None


def _sniff_workbook(file: Path) -> str | None:
    """Look for the header in the first bytes of the packed texts: opening the workbook would unpack all of it."""
    with zipfile.ZipFile(file) as packed:
        names = [n for n in packed.namelist() if n == "xl/sharedStrings.xml" or n.startswith("xl/worksheets/")]
        head = b"".join(packed.open(n).read(HEAD_BYTES) for n in names)
    if b">StockCode<" not in head or b">InvoiceDate<" not in head:
        return None
    return "uci-xlsx" if b">InvoiceNo<" in head else "uci-ii-xlsx"


def _read_workbook(file: Path) -> list[Part]:
    try:
        book = fastexcel.read_excel(file)
        tables = [(name, book.load_sheet(name, dtypes="string").to_polars()) for name in book.sheet_names]
    except fastexcel.FastExcelError as error:
        raise DataError(f"{file} cannot be read as a workbook ({str(error).splitlines()[0]}); save it again as .xlsx or .csv") from error
    parts = [Part(f"{file}, sheet {name!r}", table.rename(str.strip)) for name, table in tables if table.width]
    if not parts:
        raise DataError(f"{file} has no sheet with data; give the workbook that holds the log")
    return parts
