"""By how many standard errors should what a search without labels finds exceed the default? On simulated boards, where labels are known.

    python tests/benchmarks/bench_errors.py FOLDER [--seed 1 2 3]

Detectors that search fast, twenty trials, on the simulators' boards of injected and of spliced anomalies; every search replaces
its default, however small its advantage, so that all rules can be counted afterwards. Takes two to three minutes a seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import bench
from bench.tune import decide

MODELS = "random,rolling-variance,detector-mean,detector-mean-whole,sub-pca,sub-pca-whole,matrix-profile,rolling-ecod,rolling-ecod-whole"
ERRORS = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
FREE = "label-free"


@dataclass(frozen=True)
class Found:
    """One search: its board's family, the advantage on its own injections, that one's standard error, and the gain on test."""

    family: str
    advantage: float
    error: float
    gain: float


def main() -> None:
    """Run what has not been run, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    decide.ERRORS = decide.LEAST = 0.0
    found = []
    for seed in given.seed:
        out = given.folder / f"seed-{seed}"
        bench.run("anomaly", datasets="retail,netflix,social", models=MODELS, trials=20, seeds=1, workers=1, seed=seed, out=out)
        found += list(searches(out))
    for family in ("", *dict.fromkeys(one.family for one in found)):
        own = [one for one in found if family in ("", one.family)]
        print(f"\n{family or 'all'}: {len(own)} searches")
        for errors in ERRORS:
            gains = np.array([one.gain for one in own if one.advantage > max(errors * one.error, 0.0)])
            if len(gains):
                print(f"  {errors:3} errors: {len(gains):3} replaced, {(gains > 0).sum():3} better, mean gain {gains.mean():+.4f}")


def searches(run: Path) -> Iterator[Found]:
    """Compare what each search without labels found with the default: on its own injections, and on test."""
    rows = {(r["task_id"], r["dataset"], r["model"], r["tuning"]): r for r in pl.read_parquet(run / "leaderboard.parquet").to_dicts()}
    choices = {(r["task_id"], r["dataset"], r["model"], r["tuning"]): r for r in pl.read_parquet(run / "choices.parquet").to_dicts()}
    for (*place, tuning), choice in choices.items():
        default = choices[*place, "default"]
        if tuning != FREE or rows[*place, tuning]["vus_pr"] is None:
            continue
        score, drawn = ([np.array(json.loads(one[name])[FREE], float) for one in (choice, default)] for name in ("scores", "replicates"))
        gain = rows[*place, tuning]["vus_pr"] - rows[*place, "default"]["vus_pr"]
        yield Found(rows[*place, tuning]["family"], float((score[0] - score[1]).mean()), float((drawn[0] - drawn[1]).std()), gain)


if __name__ == "__main__":
    main()
