"""What the stored predictions of a run tell without the truth: drawn where a run was published without figures.

A place holds predictions, and no data: how often each value was predicted can be counted, whether it was right cannot.
Letters: N rows or series, T steps, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.board.merge import Merged, row_key
from bench.board.ranking import candidates
from bench.data.ragged import Array
from bench.metrics.rounding import rounded
from bench.publish import untrusted
from bench.publish.place import Published
from bench.publish.store import PlaceError

BINS = 20
MOST_BYTES = 1 << 26
"""Of one prediction in memory; of a larger one nothing is drawn."""


def prediction_figures(published: Published, merged: Merged) -> list[dict[str, Any]]:
    """Draw what the predictions tell that stand on the boards: a figure of the kind `predictions` for each board."""
    try:
        stored = {row_key(entry): entry["file"] for entry in published.index()}
    except PlaceError:  # bench verify reports it
        return []
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for at in candidates(merged.rows):
        row = merged.rows[at]
        if merged.runs[at] == published.run and (file := stored.get(row_key(row))) and (told := _told(published, file)):
            found.setdefault((row["task_id"], row["dataset"]), {})[row["model"]] = told
    return [{"kind": "predictions", "task_id": t, "dataset": d, "models": models} for (t, d), models in found.items()]


def _told(published: Published, file: str) -> dict[str, Any]:
    """Read one prediction and count; {} where it cannot be read, which `bench verify` reports."""
    try:
        if (published.store.size(published.path(file)) or 0) > MOST_BYTES:
            return {}
        parts = untrusted.prediction(published.file(file), published.path(file), MOST_BYTES)
    except PlaceError:
        return {}
    if all("quantiles" in part for part in parts):
        return ahead([part["quantiles"] for part in parts])
    scores = [part["prediction"] for part in parts if "prediction" in part]
    return spread(scores) if scores else {}


def ahead(windows: Sequence[Array]) -> dict[str, Any]:
    """Average forecasts, [N, H, Q] each, over windows and series: three quantiles at each step; {} for what is not of that form."""
    if any(w.ndim != 3 or w.shape != windows[0].shape or not w.size for w in windows):
        return {}
    mean = np.mean([np.nan_to_num(np.asarray(w, np.float64).mean(axis=0)) for w in windows], axis=0)  # [H, Q]
    if not (np.abs(mean) < np.finfo(np.float32).max).all():
        return {}
    middle = mean.shape[1] // 2
    lines = {"low": mean[:, 0], "median": mean[:, middle], "high": mean[:, -1]}
    about = {"windows": len(windows), "series": len(windows[0]), "levels": mean.shape[1]}
    return {**about, **{name: [rounded(float(x)) for x in line] for name, line in lines.items()}}


def spread(scores: Sequence[Array]) -> dict[str, Any]:
    """Count how often each score was given, in bins of equal width: P(churn) [N], or scores of steps [N, T] between their series' ends."""
    flat = [_between(np.asarray(s, np.float64)) if s.ndim == 2 else np.asarray(s, np.float64).ravel() for s in scores]
    every = np.concatenate(flat)
    every = every[np.isfinite(every)]
    if not len(every):
        return {}
    counts, _ = np.histogram(np.clip(every, 0, 1), BINS, (0, 1))
    of = "steps" if any(s.ndim == 2 for s in scores) else "users"
    return {"of": of, "counts": counts.tolist(), "mean": rounded(float(np.clip(every, 0, 1).mean()))}


def _between(scores: Array) -> Array:
    """Place each score between the lowest (0) and the highest (1) of its series; what is not finite is left out."""
    known = np.where(np.isfinite(scores) & (np.abs(scores) < np.finfo(np.float32).max), scores, np.nan)
    rows = known[~np.isnan(known).all(axis=1)]
    low, high = np.nanmin(rows, axis=1, keepdims=True, initial=np.inf), np.nanmax(rows, axis=1, keepdims=True, initial=-np.inf)
    wide = np.where(high > low, high - low, 1.0)
    return np.asarray(((rows - low) / wide).ravel())
