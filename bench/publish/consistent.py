"""Check that what one published run says of itself agrees: its rows, its predictions, its manifest and `run.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.board.merge import Key, row_key
from bench.board.recommend import members_of
from bench.board.schema import AGGREGATOR, SCHEMA_VERSION, Row
from bench.publish.package import versions
from bench.publish.proven import unproven
from bench.publish.searches import Searches
from bench.publish.truth import PublishedRun
from bench.runs.ensemble import BLENDS
from bench.runs.offline_rows import base_of
from bench.tasks.base import protocol_of


def contradictions(
    run: str,
    rows: Sequence[Row],
    manifest: Mapping[str, Any],
    about: PublishedRun,
    index: Sequence[Mapping[str, Any]],
    searches: Searches | None = None,
) -> list[str]:
    """Describe what in a run contradicts itself or this bench; empty: nothing. `index`: where the predictions lie."""
    found = [*_versions(rows, manifest), *_protocols(rows), *_removed(rows, manifest, about, index), *_unplanned(rows, about)]
    found += unproven(rows, searches, about) if searches is not None else []
    return [f"run {run}: {words}" for words in found]


def _versions(rows: Sequence[Row], manifest: Mapping[str, Any]) -> Iterator[str]:
    """Check that rows, manifest and this bench speak of the same metrics."""
    for name, found in versions(rows).items():
        if manifest.get(name) != found:
            yield f"{name} is {found} in its rows and {manifest.get(name)!r:.80} in its manifest"
    for name, ours in (("aggregator", AGGREGATOR), ("schema_version", SCHEMA_VERSION)):
        other = sorted({str(row[name]) for row in rows if row[name] != ours})
        if other:
            yield f"metric version: {name} is {other[0][:80]}, this bench scores by {ours}; its numbers cannot be compared"


def _protocols(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row["protocol"] != protocol_of(row["task_id"]) or not row["task_id"].startswith(f"{row['task']}/v"):
            yield f"{_fit_words(row_key(row))}: protocol {str(row['protocol'])[:40]!r} is not that of its task id {row['task_id'][:40]!r}"


def _removed(rows: Sequence[Row], manifest: Mapping[str, Any], about: PublishedRun, index: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Find rows that are there twice, or gone: each prediction has its row, and each model of the run one on every board."""
    if manifest.get("rows") != len(rows):
        yield f"its manifest counts {manifest.get('rows')!r:.20} rows, there are {len(rows):,}"
    counted = Counter(row_key(row) for row in rows)
    yield from (f"{_fit_words(key)}: {n} rows of one name" for key, n in counted.items() if n > 1)
    scored = {row_key(row) for row in rows if row["status"] == "ok"}
    yield from (f"{_fit_words(row_key(e))}: a prediction without a row: one was removed" for e in index if row_key(e) not in scored)
    there = {key[:3] for key in counted}
    for task_id, dataset in dict.fromkeys(key[:2] for key in counted):
        missing = [model for model in about.models if (task_id, dataset, model) not in there]
        yield from (f"{model} on {dataset}: no row, though the run had the model: it was removed" for model in missing)


def _unplanned(rows: Sequence[Row], about: PublishedRun) -> Iterator[str]:
    """Find models that the run's plan names and that the run lacks, and rows of models that it never had."""
    for name in about.requested_models:
        if name not in about.models:
            yield f"{name}: the run's command names the model, and the run lacks it: it was removed"
    boards = {(row["task_id"], row["dataset"]): row["reference"] for row in rows}
    there = {(row["task_id"], row["dataset"], row["model"]) for row in rows}
    for board, reference in boards.items():
        if not about.requested_models and reference and (*board, reference) not in there:
            yield f"{reference} on {board[1]}: the run was of all models, and what skill is measured against has no row: it was removed"
    for row in rows:
        if row["model"] in BLENDS and row["status"] == "ok":
            gone = [name for name in sorted(members_of(row)) if (row["task_id"], row["dataset"], name) not in there]
            yield from (f"{name} on {row['dataset']}: a member of the ensemble without a row: it was removed" for name in gone)
        elif base_of(row) not in about.models:
            yield f"{row['model']} on {row['dataset']}: a row of a model that the run did not have"


def _fit_words(key: Key) -> str:
    return f"{key[2]} on {key[1]} ({key[3]}, seed {key[4]})"
