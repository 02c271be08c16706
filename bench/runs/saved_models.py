"""Find the fitted models that a finished run has saved: those of its winner, of a named model, of an ensemble's members."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from bench.board.numbers import clean, several
from bench.board.ranking import candidates, leading, rank
from bench.board.schema import Row, read_rows, table_to_rows
from bench.errors import ConfigError, RunFolderError, suggest
from bench.runs.ensemble import FLOOR, NAME
from bench.runs.offline_rows import base_of
from bench.tune.ledger import read_lines
from bench.tune.trials import Entry


@dataclass(frozen=True)
class Fitted:
    """One fitted model of a run and its weight in the answer."""

    model: str
    entry: Entry
    """The ledger's entry of its final fit."""
    saved: Path | None
    """The folder that it was saved in; None: it learns as it predicts."""
    causal: bool
    weight: float
    calibration: Mapping[str, float] = field(default_factory=dict)
    """How the board's predictions of it were corrected."""
    row: str = ""
    """The row of the board that answers, where that is a mean of several models."""
    ahead: bool = False
    """The row is what the core made of a causal model's scores for the offline league."""


def run_document(folder: Path) -> dict[str, Any]:
    """Read a run's `run.json`; raise `RunFolderError` where there is none or the run is not finished."""
    try:
        document: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except FileNotFoundError:
        raise RunFolderError(f"{folder}: no run lies there; give the folder that bench run wrote") from None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder}: its run.json cannot be read ({error}); give the folder that bench run wrote") from error
    if not document.get("finished"):
        raise RunFolderError(f"{folder}: the run is not finished; give its command again to end it")
    return document


def board_of(document: Mapping[str, Any], dataset: str, family: str = "") -> dict[str, Any]:
    """Choose the board whose models are asked: by the data set, and of an anomaly run's families by `family`, or the first."""
    found = {d["name"]: d for d in reversed(document["datasets"])}
    if not dataset and len(found) > 1:
        raise ConfigError(f"the run has several data sets ({', '.join(sorted(found))}); choose with --dataset NAME")
    name = dataset or next(iter(found), "")
    if name not in found:
        raise ConfigError(f"the run has no data set {name!r}; {suggest(name, sorted(found))}")
    families = families_of(document, name)
    if family and family not in families:
        known = f"it has {', '.join(families)}" if families else "only anomaly runs have families"
        raise ConfigError(f"the run has no board of family {family!r} on {name}; {known}")
    return dict(families[family] if family else found[name])


def families_of(document: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    """Return the boards of one data set by family, in the run's order; none where its task has no families."""
    return {d["facts"]["family"]: d for d in document["datasets"] if d["name"] == name and "family" in d["facts"]}


def answering(fitted: Sequence[Fitted]) -> str:
    """Name the row of the board that answers."""
    return fitted[0].row or fitted[0].model


def words_of(document: Mapping[str, Any], board: Mapping[str, Any], fitted: Sequence[Fitted]) -> str:
    """Describe who answers: the models, the board that they stand on, and which other boards there were to choose from."""
    names = list(dict.fromkeys(clean(one.model) for one in fitted))
    asked = names[0] if len(names) == 1 else f"{answering(fitted)} of {several(names, 8)}"
    family = board["facts"].get("family", "")
    others = [f"--family {other}" for other in families_of(document, board["name"]) if other != family]
    where = " ".join(filter(None, [clean(board["name"]), family]))
    return f"{asked}, of the board {where}" + (f"; other boards: {', '.join(others)}" if others else "")


def fits(folder: Path, board: Mapping[str, Any], model: str = "") -> list[Fitted]:
    """List the fits to ask with their weights, which sum to 1; raise `BenchError` where one cannot be asked."""
    place = board["task_id"], board["name"]
    rows = [r for r in rank(table_to_rows(read_rows(folder / "leaderboard.parquet"))) if (r["task_id"], r["dataset"]) == place]
    best = chosen_row(rows, model, f"{folder}: no model worked on {board['name']}")
    parts = [(best, 1.0)]
    if best["model"] in {NAME, FLOOR}:
        members = {name: _member(rows, name, best["tuning"]) for name in json.loads(best["params"])}
        parts = [(row, weight / len(members[name])) for name, weight in json.loads(best["params"]).items() for row in members[name]]
    keys = _keys(folder, place)
    own = [keys.get((row["model"], row["tuning"], row["seed"]), "") for row, _ in parts]
    entries = {entry["key"]: entry for _, _, entry in read_lines(folder / "ledger.jsonl") if entry["key"] in own}
    found = [_fitted(folder, row, entries.get(key), weight) for (row, weight), key in zip(parts, own, strict=True)]
    return [replace(one, row=best["model"]) for one in found]


def chosen_row(rows: Sequence[Row], model: str, nothing: str) -> Row:
    """Choose the row of the winner, or the one that stands for a named model on the board, were it ranked or not."""
    if not model:
        best = leading(rows)
        if best is None:
            raise RunFolderError(nothing)
        return best
    standing = [rows[at] for at in candidates(rows)]
    own = [r for r in rows if r["model"] == model]
    if not own:
        raise ConfigError(f"the run has no model {model!r}; {suggest(model, sorted({r['model'] for r in rows}))}")
    able = [r for r in standing if r["model"] == model] or [r for r in own if r["status"] == "ok"]
    if not able:
        raise ConfigError(f"model {model!r} cannot be used: it ended as {own[0]['status']} ({own[0]['reason']}); choose another")
    return able[0]


def _member(rows: Sequence[Row], model: str, tuning: str) -> list[Row]:
    """Find the fits that an ensemble takes of a model, one a seed: of its tuning, or of its default where it has no space."""
    worked = [r for r in rows if (r["model"], r["status"]) == (model, "ok")]
    own = [r for r in worked if r["tuning"] == tuning] or [r for r in worked if r["tuning"] == "default"]
    if not own:
        raise RunFolderError(f"the leaderboard has no row of {model!r}, a member of the ensemble; give the run's command again")
    return sorted(own, key=lambda r: int(r["seed"]))


def _keys(folder: Path, place: tuple[str, str]) -> dict[tuple[str, str, int], str]:
    """Return the ledger's key of each final fit of a board, by (model, tuning, seed): predictions are named by it."""
    try:
        table = pl.read_parquet(folder / "predictions.parquet")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunFolderError(f"{folder}: predictions.parquet cannot be read ({error}); give the run's command again") from error
    own = table.filter((pl.col("task_id") == place[0]) & (pl.col("dataset") == place[1]))
    return {(r["model"], r["tuning"], r["seed"]): Path(r["file"]).stem.partition("-")[0] for r in own.to_dicts()}


def _fitted(folder: Path, row: Row, entry: Entry | None, weight: float) -> Fitted:
    name = base_of(row)
    if entry is None:
        raise RunFolderError(f"the ledger has no final fit of {name!r}; give the run's command again")
    if entry.get("unsaved"):
        raise RunFolderError(f"model {name!r} could not be saved ({entry['unsaved']}); choose another with --model NAME")
    kept = entry.get("saved")
    saved = (folder / kept).resolve() if kept else None
    if saved is not None and not saved.is_dir():
        raise RunFolderError(f"{saved}: the folder that {name!r} was saved in is gone; give the run's command again to fit it anew")
    ahead, line = name != row["model"], json.loads(row.get("calibration") or "{}")
    return Fitted(name, entry, saved, ahead or row["mode"] != "offline", weight, line, ahead=ahead)
