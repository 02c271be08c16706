"""Put a run's winner to use: score new users, forecast on, or flag, with what its final fit saved."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.board.ranking import merit
from bench.board.schema import Row, read_rows, table_to_rows
from bench.datasets import Request, loaded
from bench.ensemble import NAME as ENSEMBLE
from bench.ensemble import weighted
from bench.errors import ConfigError, DataError, PluginError, RunFolderError, suggest
from bench.metrics.anomaly import threshold
from bench.profiles import Profile, profile
from bench.registry import Registry, Source, discover
from bench.tasks.anomaly import ALERTS
from bench.tasks.asked import TASKS as ASK
from bench.tasks.asked import Asked
from bench.tasks.base import Arrays, Prediction, Stage, Task
from bench.tune.jobs import Limits, Result
from bench.tune.judge import part_of
from bench.tune.ledger import read_entries
from bench.tune.slots import LocalExecutor

OWN_OPTIONS = ("cutoff",)
"""Options of `bench predict` that no run has."""


@dataclass(frozen=True)
class Fitted:
    """Hold one fitted model of a run and its weight in the answer."""

    model: str
    entry: Mapping[str, Any]
    weight: float


def predict(
    run: Path | str, data: str | Path | Any, *, model: str = "", dataset: str = "", options: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Predict on new data with the winner of a run, or a named model; see `bench predict`.

    `data`: a path, or ADAPTER=PATH; by default the run's own adapter reads it. Returns one row a user (`user, cutoff,
    p_churn`), a series and step (`unique_id, ds, mean, q0.1, ...`), or an entity and step (`entity, time, score,
    threshold, alarm`). Raises `RunFolderError` where the run cannot serve, `DataError` for data of another kind.
    """
    from bench.runner import TASKS

    folder = Path(run)
    document = _document(folder)
    config, caps = document["config"], profile(document["config"]["profile"])
    board = _board(document, dataset)
    fitted = _fitted(folder, board, model)
    own, theirs = _options(options or {}, config, board, TASKS[config["task"]])
    registry = discover(config["plugins"], config["plugins_dirs"])
    new = loaded(_request(str(data), board["adapter"]), registry, theirs, size=caps.users, seed=config["seed"]).data
    asked = ASK[config["task"]](new, board, own, caps)
    task = TASKS[config["task"]]()
    answers = [(_answer(folder, one, asked, task, registry, caps), one.weight) for one in fitted]
    parts = [(task.blendable(asked.split, "final", p) if len(fitted) > 1 else p, weight) for p, weight in answers]
    return FRAMES[config["task"]](asked, weighted(parts)[0])


def _document(folder: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder}: no finished run ({error}); give the folder that bench run wrote") from error
    if not document.get("finished"):
        raise RunFolderError(f"{folder}: the run is not finished; give its command again to end it")
    return document


def _board(document: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Choose the data set whose models are asked."""
    found = {d["name"]: d for d in reversed(document["datasets"])}
    if not dataset and len(found) > 1:
        raise ConfigError(f"the run has several data sets ({', '.join(sorted(found))}); choose with --dataset NAME")
    name = dataset or next(iter(found), "")
    if name not in found:
        raise ConfigError(f"the run has no data set {name!r}; {suggest(name, sorted(found))}")
    return dict(found[name])


def _fitted(folder: Path, board: Mapping[str, Any], model: str) -> list[Fitted]:
    """Find the fits to ask: the winner's or the named model's, for an ensemble those of its members."""
    rows = [r for r in table_to_rows(read_rows(folder / "leaderboard.parquet")) if r["dataset"] == board["name"] and r["status"] == "ok"]
    rows = [r for r in rows if r["task_id"] == board["task_id"]]
    if model and model not in {r["model"] for r in rows}:
        raise ConfigError(f"the run has no usable model {model!r} on {board['name']}; {suggest(model, sorted({r['model'] for r in rows}))}")
    if not rows:
        raise RunFolderError(f"{folder}: no model worked on {board['name']}")
    best = min((r for r in rows if not model or r["model"] == model), key=_order)
    weights = json.loads(best["params"]) if best["model"] == ENSEMBLE else {best["model"]: 1.0}
    entries: dict[str, dict[str, Any]] = {}
    read_entries(folder / "ledger.jsonl", entries)
    chosen = [Fitted(name, _entry(rows, entries, name), weight) for name, weight in weights.items()]
    for one in chosen:
        if one.entry.get("unsaved"):
            raise RunFolderError(f"model {one.model!r} could not be saved ({one.entry['unsaved']}); choose another with --model NAME")
    return chosen


def _order(row: Row) -> tuple[bool, int, float, bool, int]:
    number = row.get("rank")
    return number is None, number or 0, -merit(row), row["tuning"] == "default", row.get("seed") or 0


def _entry(rows: Sequence[Row], entries: Mapping[str, Mapping[str, Any]], model: str) -> Mapping[str, Any]:
    """Find the ledger's entry behind the row that stands for a model."""
    row = min((r for r in rows if r["model"] == model), key=_order)
    for entry in entries.values():
        same = (entry["task_id"], entry["model"], entry["stage"], entry["seed"]) == (row["task_id"], model, "final", row["seed"])
        if same and entry["status"] == "ok" and json.dumps(entry["params"], sort_keys=True) == row["params"]:
            return entry
    raise RunFolderError(f"the ledger has no final fit of {model!r}; run again")


def _options(
    given: Mapping[str, str], config: Mapping[str, Any], board: Mapping[str, Any], task: type[Task]
) -> tuple[dict[str, str], dict[str, str]]:
    """Take the run's options and those given now, which win; parted into the task's and the adapter's."""
    both = {**config["options"], **given}
    own = {k: v for k, v in both.items() if k in task.options or k in OWN_OPTIONS}
    theirs = {k.partition(".")[2]: v for k, v in both.items() if k.startswith(f"{board['adapter']}.")}
    for key in given:
        if key not in own and "." not in key:
            raise ConfigError(f"unknown option --set {key}={given[key]}; {suggest(key, [*task.options, *OWN_OPTIONS])}")
    return own, theirs


def _request(data: str, adapter: str) -> Request:
    name, equals, path = data.partition("=")
    found = Path(path if equals else data).expanduser()
    if not found.exists():
        raise DataError(f"{found}: no such file or folder")
    return Request(name if equals else adapter, found)


def _answer(folder: Path, fitted: Fitted, asked: Asked, task: Task, registry: Registry, caps: Profile) -> Prediction:
    """Ask one model in a worker, check what it says and bring it into its final form."""
    source = _source(registry, fitted.model)
    stage = Stage((), (asked.inputs,))
    saved = fitted.entry.get("saved")
    message = {
        "do": "apply", "source": source.as_dict(), "name": fitted.model, "digest": stage.digest, "params": dict(fitted.entry["params"]),
        "seed": fitted.entry["seed"], "device": "cpu", "saved": str((folder / saved).resolve()) if saved else "",
        "context": {"epochs": caps.epochs, "history": caps.history, "rows": caps.rows, **asked.split.context},
    }  # fmt: skip
    scratch = Path(tempfile.mkdtemp(prefix="bench-"))
    executor = LocalExecutor(1, "cpu", scratch)
    try:
        executor.submit(0, message, Limits(3600.0, _memory_mb()), runtime="any", stage=stage)
        answers = []
        while not (answers := [a for a in executor.collect(1.0) if a.message["event"] == "done"]):
            pass
        result = Result.of(answers[0].message)
        if result.status != "ok":
            raise PluginError(f"model {fitted.model!r} failed on the new data: {result.reason}")
        arrays, reason = part_of([result], 0)
        reason = reason or task.invalid(asked.split, "final", 0, arrays)
        if reason:
            raise PluginError(f"model {fitted.model!r}: {reason}")
        return task.finished(asked.split, "final", [{k: np.array(v) for k, v in arrays.items()}], causal=_causal(folder, fitted)).prediction
    finally:
        executor.close()


def _causal(folder: Path, fitted: Fitted) -> bool:
    rows = table_to_rows(read_rows(folder / "leaderboard.parquet"))
    return next((r["mode"] != "offline" for r in rows if r["model"] == fitted.model), True)


def _source(registry: Registry, model: str) -> Source:
    points = registry.sources["bench.models"]
    if model in points:
        return points[model]
    for source in registry.files:
        return Source(source.name, source.target, is_file=True)
    raise PluginError(f"model {model!r} is not installed here; install the plugin that brought it")


def _memory_mb() -> float:
    import psutil

    return psutil.virtual_memory().total / 1024**2 / 2


def _churn_frame(asked: Asked, arrays: Arrays) -> pl.DataFrame:
    return pl.DataFrame({**asked.columns, "p_churn": arrays["prediction"]}).sort("p_churn", descending=True, maintain_order=True)


def _forecast_frame(asked: Asked, arrays: Arrays) -> pl.DataFrame:
    n, horizon, _ = arrays["quantiles"].shape
    columns = {
        "unique_id": np.repeat(asked.columns["unique_id"], horizon),
        "ds": np.tile(asked.columns["ds"], n),
        "mean": arrays["mean"].ravel(),
    }
    columns |= {f"q{q:g}": arrays["quantiles"][:, :, at].ravel() for at, q in enumerate(asked.split.context["quantiles"])}
    return pl.DataFrame(columns)


def _anomaly_frame(asked: Asked, arrays: Arrays) -> pl.DataFrame:
    """Give each observed step after the prefix; the threshold is exceeded by 1 % of the entity's training scores."""
    frames = []
    score, mask = arrays["prediction"], asked.columns["mask"]
    for n, name in enumerate(asked.columns["entity"]):
        until = asked.columns["until"][n]
        limit = threshold(score[n, :until][mask[n, :until]], ALERTS)
        steps = until + np.flatnonzero(mask[n, until:])
        times = asked.columns["time"][n if len(asked.columns["time"]) > 1 else 0]
        own = score[n, steps]
        frames.append(
            pl.DataFrame({"time": [times[s] for s in steps], "score": own, "alarm": own > limit}).with_columns(
                entity=pl.lit(name), threshold=pl.lit(limit)
            )
        )
    return pl.concat(frames).select("entity", "time", "score", "threshold", "alarm")


FRAMES = {"churn": _churn_frame, "forecasting": _forecast_frame, "anomaly": _anomaly_frame}
