"""The last lines of a run, on stderr: how many cells there are of which kind, what failed and its cure, where the rows are."""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from bench.board.numbers import clean
from bench.tune.ledger import log_name

Row = Mapping[str, Any]

CURES = {
    "oom": ("--job-memory", "raise --job-memory or lower --workers"),
    "timeout": ("--job-seconds", "raise --job-seconds or give less data"),
}
"""Status -> the option that mends it, and the words that are added where the reason does not name it."""
MOST_NAMES = 6
"""Cells that are named of those skipped for one reason."""
KINDS = ("ok", "failed in part", "failed", "skipped")


def summary(rows: Sequence[Row], folder: Path, report: Path | None = None) -> list[str]:
    """Sum up leaderboard rows: the counts, one line for each different failure and skip, and the paths.

    The verdicts are not among them: they stand below the table.
    """
    one = len({row["dataset"] for row in rows}) == 1
    cells: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row["task_id"], row["dataset"], row["model"]), []).append(row)
    causes: dict[tuple[str, str], dict[str, None]] = {}
    for (_, dataset, model), cell in cells.items():
        name = clean(model if one else f"{dataset}/{model}")
        for cause in _causes(cell):
            causes.setdefault(cause, {})[name] = None
    logs = dict.fromkeys(filter(None, (log_file(folder, d, m) for (_, d, m), cell in cells.items() if _kind(cell) != "ok")))
    return [
        _counts([_kind(cell) for cell in cells.values()]),
        *(f"  {_listed(list(names), cause[0])}: {': '.join(filter(None, cause))}" for cause, names in causes.items()),
        *(f"  log  {folder / log}" for log in logs),
        f"rows  {folder / 'leaderboard.parquet'}",
        *([] if report is None else [f"report  {report}"]),
    ]


def print_summary(rows: Sequence[Row], folder: Path, stream: TextIO, report: Path | None = None) -> None:
    """Write the summary; on a terminal its sentences are wrapped, elsewhere each is one line."""
    width = None
    with contextlib.suppress(OSError, ValueError):
        width = os.get_terminal_size(stream.fileno()).columns
    lines = summary(rows, folder, report)
    stream.write("".join(f"{line}\n" for line in (_wrapped(lines, width) if width else lines)))
    stream.flush()


def log_file(folder: Path, dataset: str, model: str) -> str | None:
    """Name the log of a cell within its run folder; None where there is no such file."""
    name = log_name(dataset, model)
    return name if (folder / name).is_file() else None


def _listed(names: Sequence[str], word: str) -> str:
    """List the cells of one cause; of many that were skipped only the first, since their boards name them all."""
    if len(names) <= MOST_NAMES or not word.endswith("skipped"):
        return ", ".join(names)
    return f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} more"


def _counts(kinds: Sequence[str]) -> str:
    counts = [(kinds.count(kind), kind) for kind in KINDS if kind in kinds]
    if not counts:
        return "no cells"
    (n, kind), *others = counts
    return ", ".join([f"{n} {'cell' if n == 1 else 'cells'} {kind}", *(f"{n} {kind}" for n, kind in others)])


def _kind(cell: Sequence[Row]) -> str:
    bad = [row for row in cell if row["status"] != "ok"]
    if not bad:
        return "ok"
    if len(bad) < len(cell):
        # a tuning that the data leaves no room for is no failure of the model
        return "ok" if all(row["status"] == "skipped" for row in bad) else "failed in part"
    return "skipped" if all(row["status"] == "skipped" for row in bad) else "failed"


def _causes(cell: Sequence[Row]) -> dict[tuple[str, str], None]:
    """List what went wrong in a cell, each (word, reason with cure) once."""
    bad = [row for row in cell if row["status"] != "ok"]
    part = len(bad) < len(cell)
    # the row of a search without success repeats the cause of its first trial
    own = [row for row in bad if not any(_repeats(row, other) for other in bad)]
    return dict.fromkeys((f"{row['tuning']} {row['status']}" if part else row["status"], _cured(row)) for row in own)


def _repeats(row: Row, other: Row) -> bool:
    reason, cause = row.get("reason") or "", other.get("reason") or ""
    return row["status"] == other["status"] and bool(cause) and cause != reason and reason.endswith(cause)


def _cured(row: Row) -> str:
    reason = clean(row.get("reason") or "")
    option, words = CURES.get(row["status"], ("", ""))
    if "cuda" in reason.lower():
        option, words = "--device", "free the GPU, or use --device cpu"
    return "; ".join(filter(None, [reason, words if option not in reason else ""]))


def _wrapped(lines: Iterable[str], width: int) -> Iterable[str]:
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        wrapped = textwrap.wrap(line, width - 1, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)
        # a path is copied: it is left to the terminal
        yield from [line] if line.lstrip().startswith(("log  ", "rows  ", "report  ")) else wrapped
