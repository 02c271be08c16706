"""Read what runs were published with beside their rows, with suspicion, for the pages of a place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow.parquet as pq

from bench.board.merge import Merged
from bench.data import arrow
from bench.publish import untrusted
from bench.publish.pictures import DETAILS
from bench.publish.place import SMALL, Published, State
from bench.publish.predictions_drawn import prediction_figures
from bench.publish.search_tables import CHOICES, TRIALS
from bench.publish.store import PlaceError, Store

Cell: TypeAlias = tuple[str, str, str]
"""Task id, data set, model."""
SAME = ("test_cutoff", "time", "cutoffs", "horizon", "days")
"""What figures of several runs must have in common to be drawn together."""
BY_MODEL = ("models", "by_step", "by_series", "classes", "looks_at", "insights")


@dataclass(frozen=True)
class Pictures:
    """Figures, trials, what they came to, and details of the runs on a board."""

    figures: Sequence[dict[str, Any]]
    trials: Sequence[dict[str, Any]]
    details: Sequence[dict[str, Any]]
    choices: Sequence[dict[str, Any]]

    def write(self, folder: Path, boards: Collection[tuple[str, str]]) -> None:
        """Write those of some boards, (task id, data set), as a run folder has them."""
        if own := [one for one in self.figures if (one["task_id"], one["dataset"]) in boards]:
            (folder / "figures.json").write_text(json.dumps(own))
        tables = ("trials", self.trials, TRIALS), ("details", self.details, DETAILS), ("choices", self.choices, CHOICES)
        for name, records, schema in tables:
            if kept := [one for one in records if (one["task_id"], one["dataset"]) in boards]:
                pq.write_table(arrow.table(kept, schema), folder / f"{name}.parquet")


def published_pictures(store: Store, seen: State, merged: Merged) -> Pictures:
    """Read the pictures of all standing runs: of each model those of the run whose rows stand for it."""
    owners: dict[Cell, str] = {
        (row["task_id"], row["dataset"], row["model"]): run for row, run in zip(merged.rows, merged.runs, strict=True)
    }
    figures: dict[tuple[str, str, str], dict[str, Any]] = {}
    trials: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    for run, _ in sorted(Counter(merged.runs).items(), key=lambda item: (-item[1], item[0])):
        if run not in seen.active_runs:
            continue
        published = Published(store, run)
        files = published.manifest()["files"]
        # before figures were published: what the predictions tell by themselves
        drawn = _figures(published, files) if "figures.json" in files else prediction_figures(published, merged)
        for figure in drawn:
            own = _owned(figure, run, owners)
            at = figure["task_id"], figure["dataset"], figure["kind"]
            figures[at] = own if at not in figures else _together(figures[at], own)
        trials += [t for t in published.records("trials.parquet", TRIALS, files) if owners.get(_cell(t)) == run]
        details += [d for d in published.records("details.parquet", DETAILS, files) if owners.get(_cell(d)) == run]
        choices += [c for c in published.records("choices.parquet", CHOICES, files) if owners.get(_cell(c)) == run]
    return Pictures(list(figures.values()), trials, details, choices)


def _cell(record: Mapping[str, Any]) -> Cell:
    return record["task_id"], record["dataset"], record["model"]


def _owned(figure: dict[str, Any], run: str, owners: Mapping[Cell, str]) -> dict[str, Any]:
    """Keep of a figure the models whose rows on the board are of this run."""
    mine = {model for (task_id, dataset, model), owner in owners.items() if owner == run and (task_id, dataset) == _board(figure)}
    kept = {name: {m: v for m, v in figure[name].items() if m in mine} for name in BY_MODEL if isinstance(figure.get(name), dict)}
    found = {**figure, **kept}
    if isinstance(compared := figure.get("compared"), dict) and compared:
        found["compared"] = {**compared, "models": {m: v for m, v in compared["models"].items() if m in mine}}
    return found


def _board(figure: Mapping[str, Any]) -> tuple[str, str]:
    return figure["task_id"], figure["dataset"]


def _together(first: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Add another run's models to a figure, where both are of the same times; else the first, which has more rows, stands alone."""
    if any(first.get(name) != other.get(name) for name in SAME):
        return first
    joined = {name: {**other.get(name, {}), **first[name]} for name in BY_MODEL if isinstance(first.get(name), dict)}
    series = {"series": {**other["series"], **first["series"]}} if "series" in first and "series" in other else {}
    return {**first, **joined, **series}


def _figures(published: Published, files: Mapping[str, Any]) -> list[dict[str, Any]]:
    what = published.path("figures.json")
    content = published.file("figures.json", files)
    if len(content) > SMALL:
        raise PlaceError(f"{what}: larger than {SMALL:,} bytes, which is refused")
    try:
        figures = untrusted.document(b'{"figures":' + content + b"}", what)["figures"]
    except KeyError:
        figures = None
    right = isinstance(figures, list) and all(
        isinstance(f, dict)
        and isinstance(f.get("models"), dict)
        and all(isinstance(f.get(name), str) for name in ("task_id", "dataset", "kind"))
        for f in figures
    )
    if not right:
        raise PlaceError(f"{what}: holds no list of figures")
    return list(figures or ())
