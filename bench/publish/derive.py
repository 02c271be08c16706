"""Derive a place's board and site from its committed runs: a pure function of them, written by whoever comes last.

Every publisher derives from a listing made after its own commit, and looks again after it has written: where a commit or
a retraction came meanwhile, it derives once more. So the last to write has seen everything that was there when it looked,
and what came later is derived by whoever brought it. A publisher that is killed leaves an older board, never a wrong run:
the next one, or `bench publish --rebuild PLACE`, makes it whole.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
from bench.board.merge import Merged, counts, merge, row_key
from bench.board.schema import Row, rows_to_table, write_rows
from bench.execute.jobs import bench_source
from bench.publish import signatures, untrusted
from bench.publish.package import dumped, parquet
from bench.publish.place import Published, State, retraction, state
from bench.publish.published_pictures import Pictures, published_pictures
from bench.publish.store import PlaceError, Store
from bench.publish.verified_words import Verified
from bench.report.glossary import FILE as GLOSSARY
from bench.report.glossary_page import glossary_page
from bench.report.html import Html, joined, name_of, tag
from bench.report.page import Page, render, section
from bench.report.place_page import task_card
from bench.report.tables import TableCell, plain_table

BOARD, ABOUT, INDEX = "board.parquet", "board.json", "index.html"
TITLE = "Published benchmark"
TRAIL = b'<nav aria-label="Breadcrumb" class="trail"><ol>'
"""How the way back to the first page begins on each page of a report."""
RUNS = ("run", "task", "data sets", "finished", "bench", "rows", "on the board")
FOLDERS = ("assets", "site")
"""Folders that hold nothing but derived files."""


def derive(store: Store, *, everything: bool = False) -> Merged:
    """Write board and site anew until they are those of what is committed; `everything`: also assets that are there."""
    while True:
        seen = state(store)
        merged = merged_rows(store, seen)
        files = derived_files(store, seen, merged)
        # the shared scripts are large and never change: one of the same size is left alone
        new = {n: c for n, c in files.items() if everything or not n.startswith("assets/") or store.size(n) != len(c)}
        store.change(new, list(_outdated_files(store, files)))
        if state(store) == seen:
            return merged


def merged_rows(store: Store, seen: State) -> Merged:
    """Read and merge the rows of all standing runs."""
    runs = {}
    for run in seen.active_runs:
        runs[run] = Published(store, run).rows()
        untrusted.refuse_too_many(runs, store.shown)
    return merge(runs)


def derived_files(store: Store, seen: State, merged: Merged) -> dict[str, bytes]:
    """Make every derived file, `board.json` the last: the same runs give the same bytes, those of Parquet with the same library."""
    beside = published_pictures(store, seen, merged)
    files = {BOARD: parquet(rows_to_table(merged.rows))}
    tasks = list(dict.fromkeys(row["task"] for row in merged.rows))
    for task in tasks:
        own = [row for row in merged.rows if row["task"] == task]
        files |= {f"site/{task}/{name}": content for name, content in _site(own, beside, about_boards(store, seen, merged, task)).items()}
    files |= {f"assets/{path.name}": path.read_bytes() for path in _assets()}
    files[GLOSSARY] = render(glossary_page(tasks, [(TITLE, INDEX)])).encode()
    files[INDEX] = render(_index(store, seen, merged, tasks)).encode()
    about = {
        "runs": list(seen.active_runs),
        "retracted": list(seen.retracted),
        "rows": len(merged.rows),
        "superseded": merged.superseded,
        "left_out": list(merged.left_out),
        "bench_version": bench.__version__,
        "bench_source": bench_source(),
        # but the board's: another version of the Parquet library may write the same rows in other bytes
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items()) if name != BOARD},
    }
    return {**files, ABOUT: dumped(about)}


def _outdated_files(store: Store, files: Mapping[str, bytes]) -> Iterator[str]:
    """List derived files of an earlier state, whose models may have been retracted."""
    for folder in FOLDERS:
        yield from (name for name in store.tree(folder) if name not in files)
    if BOARD not in files and store.size(BOARD) is not None:
        yield BOARD


def _site(rows: Sequence[Row], beside: Pictures, about: Mapping[str, Any]) -> dict[str, bytes]:
    """Build the report of one task's rows."""
    from bench.report import build

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        write_rows(folder / "leaderboard.parquet", rows)
        (folder / "run.json").write_text(json.dumps(about))
        keys = {(row["task_id"], row["dataset"]) for row in rows}
        try:
            beside.write(folder, keys)
            build(folder)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise PlaceError(
                f"the site of {rows[0]['task']} cannot be made of what is published ({type(error).__name__}: {error})"
            ) from None
        report = folder / "report"
        files = {file.relative_to(report).as_posix(): file.read_bytes() for file in sorted(report.rglob("*")) if file.is_file()}
    return {n: _placed(content) if n.endswith(".html") else content for n, content in files.items() if not n.startswith("assets/")}


def _placed(page: bytes) -> bytes:
    """Let a report's page use the place's own scripts and rows, which all tasks share, and lead back to the first page.

    What is replaced holds quotation marks, which foreign text on a page never does: there they are escaped.
    """
    up = "../../"
    for kind in (b"href", b"src"):
        page = page.replace(kind + b'="assets/', kind + f'="{up}assets/'.encode())
    page = page.replace(b'href="../leaderboard.parquet"', f'href="{up}{BOARD}"'.encode())
    return page.replace(TRAIL, TRAIL + tag("li", tag("a", TITLE, href=f"{up}{INDEX}")).encode(), 1)


def derived_there(store: Store) -> bool:
    """Return whether anything derived lies in a place; a place in a repository may hold its runs alone."""
    return any(store.size(name) is not None for name in (BOARD, ABOUT, INDEX)) or any(next(iter(store.tree(f)), "") for f in FOLDERS)


def about_boards(store: Store, seen: State, merged: Merged, task: str) -> dict[str, Any]:
    """Describe how the boards of one task were run, in the form of `run.json`: of several runs that with most rows on a board."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    configs = []
    for run, _ in sorted(Counter(merged.runs).items(), key=lambda item: (item[1], item[0])):
        about = Published(store, run).about() if run in seen.active_runs else {}
        config = about.get("config")
        if not isinstance(config, dict) or config.get("task") != task:
            continue
        own = {key: value for key, value in config.items() if key != "device"}
        for one in about.get("datasets", ()):
            words = [one["adapter"] if one.get("simulator") else f"{one['adapter']}={one['name'].upper()}"]
            found[one["task_id"], one["name"]] = {**one, "notes": [], "config": {**own, "datasets": words}}
        configs.append(own)
    return {"config": configs[-1] if configs else {"task": task}, "datasets": list(found.values()), "merged": True}


def _assets() -> list[Path]:
    from bench.report.assets import HERE

    return [path for path in sorted(HERE.iterdir()) if path.is_file()]


def _index(store: Store, seen: State, merged: Merged, tasks: Sequence[str]) -> Page:
    """Make the first page: the tasks, the runs, and what was retracted, with the reasons."""
    verified = Verified.of(store, seen)
    cards = (
        task_card(
            task,
            [row for row in merged.rows if row["task"] == task],
            f"site/{task}/",
            [verified.sentence(merged, task), *checked(store, merged, task)],
        )
        for task in tasks
    )
    runs = list(_runs(store, seen, merged))
    gone = [(run, *retraction(store, run)) for run in seen.retracted]
    body = joined(
        section("Recommendations", tag("div", cards, class_="cards") if tasks else tag("p", "No run is published.")),
        section("Runs", plain_table("Published runs", RUNS, runs)) if runs else None,
        section("Retracted", plain_table("Retracted runs", ("run", "when", "reason"), gone)) if gone else None,
        section("How the runs were merged", tag("ul", (tag("li", name_of(word)) for word in merged.words))) if merged.words else None,
        section("Verified", verified.html(merged)) if verified.records or verified.refused else None,
        section("Check it", tag("p", "All rows: ", tag("a", BOARD, href=BOARD), ". Every number of them can be checked:"), _checks()),
    )
    words = f"{len(merged.rows):,} row{'s' * (len(merged.rows) != 1)} of {len(runs):,} run{'s' * (len(runs) != 1)}."
    return Page(INDEX, TITLE, words, body, [], [])


def _stored(store: Store, run: str) -> set[Any]:
    """Return which rows of a run have a prediction; none where its list is refused, which `bench verify` reports."""
    try:
        return {row_key(entry) for entry in Published(store, run).index()}
    except PlaceError:
        return set()


def checked(store: Store, merged: Merged, task: str) -> list[str]:
    """Describe how much of a task's rows others can check, and who stands for them."""
    own = [(row, run) for row, run in zip(merged.rows, merged.runs, strict=True) if row["task"] == task]
    runs = sorted({run for _, run in own})
    stored = {run: _stored(store, run) for run in runs}
    scored = [(row, run) for row, run in own if row["status"] == "ok"]
    able = sum(row_key(row) in stored[run] for row, run in scored)
    there = signatures.there(store)
    signed = sum(signatures.is_signed(run, there) for run in runs)
    files = f"The files of {len(runs)} run{'s' * (len(runs) != 1)} are what was published"
    again = f"{able:,} of {len(scored):,} scored rows have their predictions here, to be scored again by whoever has the data"
    return [f"{files}; {again} (bench verify); {signed} of {len(runs)} runs signed."]


def _checks() -> Html:
    ways = (
        ("bench verify PLACE", "the files are those that were published, and the board is what they give"),
        ("bench verify PLACE --source NAME=PATH", "with the data at hand, every stored prediction is scored again"),
        ("bench verify PLACE --source NAME=PATH --rerun 2", "two rows, drawn at random, are fitted again"),
    )
    return tag("ul", (tag("li", tag("code", command), ": ", words) for command, words in ways))


def _runs(store: Store, seen: State, merged: Merged) -> Iterator[tuple[str | TableCell, ...]]:
    """State of each run what it is of, from its rows."""
    own = counts(merged)
    for run in seen.active_runs:
        rows = Published(store, run).rows()
        texts = (", ".join(sorted({str(row[name]) for row in rows})) for name in ("task", "dataset", "bench_version"))
        task, datasets, version = texts
        finished = max(row["created"] for row in rows)
        yield (
            TableCell(run, tag("abbr", run[:8], title=run)),
            task,
            datasets,
            f"{finished:%Y-%m-%d}",
            version,
            f"{len(rows):,}",
            f"{own.get(run, 0):,}",
        )
