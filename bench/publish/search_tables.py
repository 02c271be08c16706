"""The search of a run as it is published: every trial, what each search chose, and the predictions that a choice rests on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.data import arrow
from bench.errors import RunFolderError
from bench.publish.store import reason_of

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
TRIALS = pa.schema(
    [(name, TEXT) for name in ("task_id", "dataset", "model")]
    + [(name, WHOLE) for name in ("number", "seed", "validations")]
    + [(name, TEXT) for name in ("status", "reason", "params", "scores", "device")]
    + [(name, REAL) for name in ("value", "latest_value", "fit_seconds", "predict_seconds", "peak_memory_mb")]
)
"""One row a trial; `scores`: tuning -> score on each validation, as JSON."""
CHOICES = pa.schema(
    [(name, TEXT) for name in ("task_id", "dataset", "model", "tuning", "status", "stopped_by", "params", "scores", "replicates", "files")]
    + [(name, WHOLE) for name in ("number", "validations")]
    + [("kept_default", pa.bool_())]
)
"""One row a tuning, `default` among them; `replicates`: tuning -> scores under resamples, and what unseen users said of what
stands (`bench.tune.plan.UNSEEN`, `TOGETHER`); `files`: stage -> prediction."""
VALID = re.compile(r"valid/[A-Za-z0-9][A-Za-z0-9_-]{0,80}\.npz")


def tables(folder: Path, write: Callable[[pa.Table], bytes], scrub: Callable[[Any], Any]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Read a run folder's trials and choices as they are published, and the predictions that they rest on, name -> task id.

    Nothing where the run was made before choices were written down. Raises `RunFolderError` where a prediction is not what
    was scored.
    """
    if not (folder / "choices.parquet").is_file():
        return {}, {}
    try:
        trials, choices = (arrow.rows_of(arrow.read(folder / f"{name}.parquet")) for name in ("trials", "choices"))
        shown = [{**choice, **_published_files(folder, choice)} for choice in choices]
        made = {
            "trials.parquet": write(arrow.table([{**t, "reason": scrub(t["reason"])} for t in trials], TRIALS)),
            "choices.parquet": write(arrow.table(shown, CHOICES)),
        }
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise RunFolderError(f"{folder}: its trials are not readable ({reason_of(error)}); give the run's command again") from None
    return made, {name: choice["task_id"] for choice in shown for name in sorted(json.loads(choice["files"]).values())}


def _published_files(folder: Path, choice: Mapping[str, Any]) -> dict[str, str]:
    found = json.loads(choice["files"])
    for name, digest in found.values():
        file = folder / name
        if VALID.fullmatch(name) is None or not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise RunFolderError(f"{file}: the validation prediction of {choice['model']} is gone or not what was scored; run again")
    return {"files": json.dumps({stage: name for stage, (name, _) in found.items()}, sort_keys=True)}
