"""What a run is published with beside its rows and its search, so that others see the same pages: figures and details.

Counts, curves and scores of whole boards alone: no value of a user or series, no name of one, no local path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.data import arrow
from bench.errors import RunFolderError

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
DETAILS = pa.schema(
    [(name, TEXT) for name in ("task_id", "dataset", "model", "tuning", "by", "at", "cutoff", "targets")]
    + [(name, WHOLE) for name in ("k", "incidents", "found")]
    + [(name, REAL) for name in ("predicted", "actual", "recall", "strength", "search_score", "vus_pr")]
    + [("decoy", pa.bool_())]
)
NAMED = frozenset({"series", "entity"})
"""Details by the name of a series or user, which stay at home."""
PRIVATE = frozenset({"next-users"})
"""Kinds of figures that tell of single users alone: they stay at home, whatever is asked for."""
COMMON = ("task_id", "dataset", "kind", "metric", "leader")
AGGREGATED: Mapping[str, tuple[str, ...]] = {
    "churn": ("reference", "base_rate", "test_cutoff", "rates", "n", "models", "looks_at", "insights"),
    "forecast": ("horizon", "windows", "series_total", "by_step", "by_series"),
    "anomaly": ("series_total", "classes", "calendar"),
    "overview": ("step", "time", "unit", "total", "users_total", "gaps", "events", "users", "observed", "cutoffs", "days"),
    "training": ("models",),
}
"""Kind of a figure -> what of it tells of no single user or series."""


def pictures(folder: Path, write: Callable[[pa.Table], bytes], scrub: Callable[[Any], Any], *, with_series: bool) -> dict[str, bytes]:
    """Read a run folder's figures and details as they are published; `with_series`: figures with single series too."""
    return {
        "figures.json": json.dumps([scrub(one) for one in figures(folder, with_series=with_series)]).encode(),
        **{name: write(table) for name, table in tables(folder).items()},
    }


def figures(folder: Path, *, with_series: bool) -> list[dict[str, Any]]:
    """Read the figures of a run folder, without `with_series` only what is aggregated; raise `RunFolderError` where they are damaged."""
    file = folder / "figures.json"
    if not file.is_file():
        return []
    try:
        found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        found = [figure for figure in found if figure["kind"] not in PRIVATE]
        return found if with_series else [one for figure in found if (one := aggregated(figure))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(f"{file}: not what a run writes ({error}); give the run's command again to write it anew") from None


def aggregated(figure: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a figure what tells of no single user or series; {} for a kind that is not known."""
    kept = AGGREGATED.get(figure["kind"])
    if kept is None:
        return {}
    # a model's own series stay at home, its name tells that it was drawn
    named: dict[str, Any] = {"models": {model: [] for model in figure.get("models", {})}}
    return {**named, **{name: figure[name] for name in (*COMMON, *kept) if name in figure}}


def tables(folder: Path) -> dict[str, pa.Table]:
    """Read details as they are published, where there are any."""
    made = {}
    if details := [d for d in _records(folder / "details.parquet") if d.get("by") not in NAMED]:
        made["details.parquet"] = arrow.table([{**d, "cutoff": _text(d.get("cutoff"))} for d in details], DETAILS)
    return made


def _records(file: Path) -> Sequence[dict[str, Any]]:
    if not file.is_file():
        return []
    try:
        found = arrow.rows_of(arrow.read(file))
    except (pa.ArrowException, OSError) as error:
        raise RunFolderError(f"{file}: not readable ({error}); give the run's command again to write it anew") from None
    return found


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
