"""Is a calibrated churn row anywhere worse than what it was before? Log-loss of finished runs, with 95 % intervals.

    python tests/benchmarks/bench_calibration.py RUN [RUN ...]

Each RUN is a folder that `bench run --task churn` wrote; its data are read again from where they lay. For every row whose
probabilities were corrected: log-loss before and after on test, and the gain, better above 0, paired, resampled over users.
Rows that calibration left alone are the same before and after: they are counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from bench_tuning import COMBINED, DRAWS, splits

from bench.data.ragged import Array
from bench.execute.prediction_files import read_prediction
from bench.metrics.bootstrap import draws, interval
from bench.tasks.base import Split, Task
from bench.tasks.lookup import task_named


@dataclass(frozen=True)
class Corrected:
    """One calibrated row."""

    name: str
    raw: float
    after: float
    low: float
    high: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    found: list[Corrected] = []
    left = 0
    for run in parser.parse_args().runs:
        own, alone = corrected(run)
        found += own
        left += alone
    for one in sorted(found, key=lambda c: c.raw - c.after):
        print(f"{one.name:60} {one.raw:.4f} to {one.after:.4f}  {one.raw - one.after:+.4f}  {one.low:+.4f} to {one.high:+.4f}")
    gains = np.array([one.raw - one.after for one in found])
    better, worse = (gains > 0).sum(), (gains < 0).sum()
    beyond = sum(c.low > 0 for c in found), sum(c.high < 0 for c in found)
    print(f"{len(found) + left} rows, {len(found)} calibrated, mean gain {gains.mean() if len(gains) else 0:+.4f}")
    print(f"{better} better ({beyond[0]} beyond the interval), {worse} worse ({beyond[1]} beyond)")


def corrected(run: Path) -> tuple[list[Corrected], int]:
    """Compare the rows of one run with what they were before; also count those that were left alone."""
    config = json.loads((run / "run.json").read_text())["config"]
    task = task_named(config["task"])()
    files = pl.read_parquet(run / "predictions.parquet").to_dicts()
    pairs = [(split, f) for split, name in splits(config, task) for f in files if (f["task_id"], f["dataset"]) == (split.task_id, name)]
    own = [(split, f) for split, f in pairs if f["model"] not in COMBINED]
    calibrated = [(split, f) for split, f in own if f["file"].endswith(f"-{f['tuning']}.npz")]
    return list(_compared(run, task, calibrated)), len(own) - len(calibrated)


def _compared(run: Path, task: Task, rows: list[tuple[Split, dict[str, str]]]) -> Iterator[Corrected]:
    for split, row in rows:
        before, after = (_log_loss(run / file, task, split) for file in (row["file"].replace(f"-{row['tuning']}.npz", ".npz"), row["file"]))
        low, high = interval(before[1] - after[1])
        yield Corrected(f"{row['dataset']} {row['model']} {row['tuning']} seed {row['seed']}", before[0], after[0], low, high)


def _log_loss(file: Path, task: Task, split: Split) -> tuple[float, Array]:
    """Score a prediction as it is, and under each resample [B]."""
    scorer, group = task.scorer(split, read_prediction(file)), split.truths["final"].group
    point = float(scorer.score(np.ones((1, len(group))))["log_loss"][0])
    return point, np.concatenate([scorer.score(w)["log_loss"] for w in draws(group, DRAWS, 7)])


if __name__ == "__main__":
    main()
