"""The page of the run: what happened, on what, and every row."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.metrics import ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain
from bench.board.ranking import label
from bench.board.schema import SCHEMA, Row
from bench.metrics.rounding import rounded
from bench.report.board_figures import fit_seconds_of
from bench.report.html import Html, joined, tag
from bench.report.index_page import counted
from bench.report.page import Page, section
from bench.report.run_folder import Run, cell_file, trail
from bench.report.tables import Head, plain_table, sortable
from bench.report.words import command, command_html, failures, listing, status_word

WITHOUT_SCRIPT = 100
"""Rows that a browser without scripts is shown."""
MOST = 10_000
"""Rows that the page holds; all are in the Parquet file."""
COLUMNS = (
    ("model", "model"), ("data set", "dataset"), ("tuning", "tuning"), ("seed", "seed"), ("status", "status"), ("rank", "rank"),
    ("test score", "score"), ("skill", "skill"), ("valid score", "valid"), ("seconds", "seconds"), ("memory, MB", "memory"),
    ("reason", "reason"),
)  # fmt: skip
DIGITS = {"seed": 0, "rank": 0, "score": 3, "skill": 3, "valid": 3, "seconds": 1, "memory": 0}
"""Decimals of the columns of numbers."""


def run_page(run: Run) -> Page:
    """Make the page of the run."""
    body = joined(
        _rows(run),
        section(
            "Files", tag("p", tag("a", "rows.csv", href="rows.csv"), ", ", tag("a", "leaderboard.parquet", href="../leaderboard.parquet"))
        ),
        _failed(run),
        _repeat(run),
        section("Machine and versions", _machine(run)),
        section("Models", _models(run)) if run.about.get("models") else None,
    )
    return Page(
        "run.html",
        "The run",
        f"{counted(run.rows)}; {len(failures(run.rows))} failures.",
        body,
        trail(run),
        run.facts,
        rows=rows_data(run.rows),
    )


def _repeat(run: Run) -> Html | None:
    if "config" not in run.about or run.merged:
        return None
    return section("Repeat", command_html(command(run.about["config"]), "The whole run:"))


def _rows(run: Run) -> Html:
    count = min(len(run.rows), MOST)
    told = (
        f"the first {MOST:,} of {len(run.rows):,} rows; all are in leaderboard.parquet" if len(run.rows) > MOST else f"all {count:,} rows"
    )
    heads = [
        Head(
            words,
            key,
            right=key in DIGITS,
            choices=key in {"dataset", "tuning", "status"},
            digits=DIGITS.get(key),
            missing=_missing(run, key),
        )
        for words, key in COLUMNS
    ]
    scores = sorted({f"{ranking_label(row)} ({way(higher=ranking_metric(row)[1])} is better)" for row in run.rows})
    words = f"{told.capitalize()}; the score is {', '.join(scores)}."
    table = sortable("Rows of the run", heads, [], name=0, order="5:asc")
    return section("Rows", tag("p", words, class_="caption"), table, _without_script(run.rows))


def _without_script(rows: Sequence[Row]) -> Html:
    """Write the first rows for browsers that run no script, which see an empty table."""
    lines = [tuple(_word(_value(row, key), key) for _, key in COLUMNS) for row in _ordered(rows)[:WITHOUT_SCRIPT]]
    told = f"The first {len(lines)} of {len(rows):,} rows" if len(lines) < len(rows) else f"All {len(rows):,} rows"
    return tag("noscript", plain_table(f"{told}, without a script", [words for words, _ in COLUMNS], lines))


def _word(value: Any, key: str) -> str:
    return "none" if value in {None, ""} else plain(value, DIGITS[key]) if key in DIGITS else str(value)


def _missing(run: Run, key: str) -> float:
    """Sort what is missing to the bad end: low ranks are good, and low scores where lower is better."""
    low_is_good = key == "rank" or (key in {"score", "valid"} and not ranking_metric(run.rows[0])[1])
    return 1e99 if low_is_good else -1e99


def rows_data(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the rows as columns for the script; text columns as codes into a list of their words."""
    shown = _ordered(rows)[:MOST]
    found = {key: _column([_value(row, key) for row in shown]) for _, key in COLUMNS}
    return {**found, "file": _column([cell_file((row["task_id"], label(row)), row["model"]) for row in shown])}


def _ordered(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda r: (r["rank"] is None, r["rank"] or 0, r["dataset"], r["model"], r["tuning"], r.get("seed") or 0))


def rows_csv(rows: Sequence[Row]) -> str:
    """Write all rows with the columns that hold anything, as CSV."""
    used = [name for name in SCHEMA.names if any(row.get(name) not in (None, []) for row in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(used)
    for row in rows:
        writer.writerow([_csv_value(row.get(name)) for name in used])
    return text.getvalue()


def _csv_value(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(value)
    # a spreadsheet runs text that begins like a formula
    return f"'{value}" if isinstance(value, str) and value[:1] in set("=+-@\t\r") else value


def _value(row: Row, key: str) -> Any:
    if key == "score":
        return rounded(row.get(ranking_metric(row)[0]))
    if key == "seconds":
        return rounded(round(fit_seconds_of(row), 2))
    if key == "status":
        return status_word(row)
    found = row.get({"valid": "valid_score", "memory": "peak_memory_mb"}.get(key, key))
    return rounded(round(found, 6)) if isinstance(found, float) else clean(found) if isinstance(found, str) else found


def _column(values: Sequence[Any]) -> Any:
    if not any(isinstance(v, str) for v in values):
        return list(values)
    words = {v: at for at, v in enumerate(dict.fromkeys("" if v is None else str(v) for v in values))}
    return {"words": list(words), "codes": [words["" if v is None else str(v)] for v in values]}


def _failed(run: Run) -> Html | None:
    found = failures(run.rows)
    if not found:
        return None
    lines = [
        (f"{row['model']} on {run.titles[row['task_id'], label(row)]}", status_word(row), row.get("reason") or "no reason was given")
        for row in found
    ]
    return section(f"Failed or skipped: {len(found)}", plain_table("Cells without a score", ("cell", "status", "reason"), lines))


def _machine(run: Run) -> Html:
    about = run.about
    hardware: Mapping[str, Any] = about.get("hardware", {})
    pairs = [(key, str(value)) for key, value in hardware.items()]
    pairs += [
        (key.replace("_", " "), str(about[key])) for key in ("bench_version", "bench_source", "git_commit", "written") if about.get(key)
    ]
    devices = sorted({row["device"] for row in run.rows if row.get("device")})
    return listing([*pairs, ("devices", ", ".join(devices) or "none")])


def _models(run: Run) -> Html:
    lines = [
        (
            m["name"],
            m["status"],
            (m.get("source_hash") or "")[:12],
            ", ".join(f"{k} {v}" for k, v in m.get("versions", {}).items()),
            m.get("reason") or "",
        )
        for m in run.about["models"]
    ]
    return plain_table("Plugins of the run", ("model", "status", "source", "versions", "reason"), lines)
