"""Adjust a cell's final predictions when it ends: join those of the halves of the labels, and calibrate by the validations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.execute.prediction_files import read_prediction, write_prediction
from bench.tasks.base import SECOND, TUNED, Split, Task
from bench.tune.plan import Outcome
from bench.tune.trials import Entry, prediction_file


def adjusted(task: Task, split: Split, outcome: Outcome, folder: Path) -> Outcome:
    """Return an outcome whose final predictions are cross-fitted and calibrated; new ones are written below the run folder."""
    return calibrated(task, split, cross_fitted(task, split, outcome, folder), folder)


def cross_fitted(task: Task, split: Split, outcome: Outcome, folder: Path) -> Outcome:
    """Make one final prediction of those that either half of the labels chose; of equal choices there is one already.

    Its entry keeps the key of the first half's fit, which is the one that answers about new data.
    """
    seeds = [seed for tuning, seed in outcome.finals if tuning == SECOND]
    if not seeds:
        return outcome
    finals = {key: entry for key, entry in outcome.finals.items() if key[0] not in {TUNED, SECOND}}
    for seed in seeds:
        pair = outcome.finals[TUNED, seed], outcome.finals[SECOND, seed]
        lost = next((entry for entry in pair if entry["status"] != "ok"), None)
        finals[TUNED, seed] = lost or (pair[0] if pair[0]["key"] == pair[1]["key"] else _joined(task, split, *pair, folder))
    # the row has kept the default where both halves did
    kept = outcome.kept_default if SECOND in outcome.kept_default else outcome.kept_default - {TUNED}
    best = {tuning: entry for tuning, entry in outcome.best.items() if tuning != SECOND}
    return replace(outcome, finals=finals, best=best, kept_default=kept, second=outcome.best[SECOND])


def _joined(task: Task, split: Split, one: Entry, other: Entry, folder: Path) -> Entry:
    both = [read_prediction(folder / prediction_file(entry)) for entry in (one, other)]
    file = f"predictions/{one['key']}-{other['key']}.npz"
    write_prediction(folder / file, task.cross_fitted(split, *both))
    joined: Entry = {**one, "prediction": file, "flags": [*one["flags"], "cross-fitted"]}
    joined["params"] = {"halves": [dict(one["params"]), dict(other["params"])]}
    joined["fit_seconds"] = one["fit_seconds"] + other["fit_seconds"]
    joined["predict_seconds"] = one["predict_seconds"] + other["predict_seconds"]
    return joined


def calibrated(task: Task, split: Split, outcome: Outcome, folder: Path) -> Outcome:
    """Correct the final predictions of each tuning by what its validations say; the fits' own predictions stay beside them."""
    finals: dict[tuple[str, int], Entry] = {}
    lines: dict[str, dict[str, float]] = {}
    for (tuning, seed), entry in outcome.finals.items():
        if entry["status"] == "ok" and tuning not in lines:
            lines[tuning] = _calibration(task, split, outcome.best.get(tuning, outcome.valid), folder)
        finals[tuning, seed] = entry
        if entry["status"] == "ok" and lines[tuning]:
            raw = read_prediction(folder / prediction_file(entry))
            file = f"predictions/{entry['key']}-{tuning}.npz"
            write_prediction(folder / file, task.calibrated(raw, lines[tuning]))
            flags = [*entry["flags"], "calibrated"]
            finals[tuning, seed] = {
                **entry, "prediction": file, "raw": prediction_file(entry), "calibration": lines[tuning], "flags": flags
            }  # fmt: skip
    return replace(outcome, finals=finals)


def _calibration(task: Task, split: Split, valid: Entry, folder: Path) -> dict[str, float]:
    files = {stage: folder / "valid" / f"{key}.npz" for stage, key in valid["validations"].items()}
    if valid["status"] != "ok" or not all(file.is_file() for file in files.values()):
        return {}
    return task.calibration(split, {stage: read_prediction(file) for stage, file in files.items()})
