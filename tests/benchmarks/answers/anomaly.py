"""Anomaly: on every labelled open set, what the search chose against the best floor of its league, with paired intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
from bench.board.families import FLOORS
from bench.board.ranking import candidates
from bench.tasks.anomaly.split import FLOORS as ARITHMETIC

SETS = {
    "nab-tweets": "social={data}/nab/realTweets",
    "nab-known-cause": "social={data}/nab/realKnownCause",
    "nab-aws": "social={data}/nab_aws/realAWSCloudwatch",
    "skab-valve2": "series={data}/skab/valve2",
    "skab-other": "series={data}/skab/other",
}
FIELDS = ("set", "league", "best floor", "VUS-PR", "chosen", "VUS-PR", "above the floor", "ensemble")


def table(data: Path, out: Path, sets: Sequence[str] = (), models: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """Run each set under the default profile and yield a row for each of its leagues."""
    for name in sets or SETS:
        board = bench.run("anomaly", datasets=[SETS[name].format(data=data)], models=tuple(models), out=out / name)
        own = [row for row in board.rows if row.get("family") == "labelled"]
        standing = [own[at] for at in candidates(own)]
        for league in ("causal", "offline"):
            rows = [row for row in standing if row["mode"] == league]
            yield (name, league, *_compared(rows))


def _compared(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Compare the model of the best search score, which no label has touched, and the ensemble with the best floor."""
    floors = [row for row in rows if row["model"] in ARITHMETIC]
    models = [row for row in rows if row["model"] not in {*FLOORS, "ensemble"} and row.get("valid_score") is not None]
    floor = max(floors, key=lambda row: row["vus_pr"], default=None)
    chosen = max(models, key=lambda row: row["valid_score"], default=None)
    blend = next((row for row in rows if row["model"] == "ensemble"), None)
    return (*_scored(floor), *_scored(chosen), _above(chosen), _above(blend))


def _scored(row: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("-", "-") if row is None else (str(row["model"]), f"{row['vus_pr']:.3f}")


def _above(row: Mapping[str, Any] | None) -> str:
    if row is None or row.get("above_floor") is None:
        return "-"
    return f"{row['above_floor']:+.3f} ({row['above_floor_low']:+.3f} to {row['above_floor_high']:+.3f})"
