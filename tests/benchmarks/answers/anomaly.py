"""Anomaly: on every labelled open set, what the search chose against the best floor of its league, with paired intervals.

`chosen` is the model of the best search score, which no label has touched. NAB's cloud metrics were looked at while the
models were made; its tweets, its known causes and SKAB are held out. Without --model: the floors and the models of `FAST`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
from bench.board.families import FLOORS
from bench.board.ranking import candidates
from bench.runs.ensemble import BLENDS
from bench.tasks.anomaly.split import FLOORS as ARITHMETIC

SETS = {
    "skab-valve2": "series={data}/skab/valve2",
    "skab-other": "series={data}/skab/other",
    "nab-tweets": "social={data}/nab/realTweets",
    "nab-known-cause": "social={data}/nab/realKnownCause",
    "nab-aws": "social={data}/nab_aws/realAWSCloudwatch",
}
FAST = ("detector-mean", "detector-mean-whole", "rolling-ecod", "rolling-ecod-whole")
GIVEN = tuple(name for name in FLOORS if not name.startswith(("iforest", "matrix"))), FAST
OWN = {"causal": "detector-mean", "offline": "detector-mean-whole"}
FIELDS = ("set", "league", "best floor", "VUS-PR", "chosen", "VUS-PR", "above", "mean of detectors", "above", "ensemble", "mean-of-3")


def table(data: Path, out: Path, sets: Sequence[str] = (), models: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """Run each set under the default profile and yield a row for each of its leagues."""
    shipped = [name for names in GIVEN for name in names if not name.endswith(("deviation-centred", "residual-centred"))]
    for name in sets or SETS:
        board = bench.run("anomaly", datasets=[SETS[name].format(data=data)], models=tuple(models) or tuple(shipped), out=out / name)
        own = [row for row in board.rows if row.get("family") == "labelled" and row["tuning"] != "tuned"]
        standing = [own[at] for at in candidates(own)]
        for league in ("causal", "offline"):
            yield (name, league, *_compared(standing, league))


def _compared(standing: Sequence[Mapping[str, Any]], league: str) -> tuple[str, ...]:
    """Compare what was chosen, the one that needs no choice, and the ensembles with the best floor that the league allows."""
    rows = [row for row in standing if row["mode"] == league]
    floors = [row for row in standing if row["model"] in ARITHMETIC and row["mode"] in {"causal", league}]
    models = [row for row in rows if row["model"] not in {*FLOORS, *BLENDS} and row.get("valid_score") is not None]
    floor = max(floors, key=lambda row: row["vus_pr"], default=None)
    chosen = max(models, key=lambda row: row["valid_score"], default=None)
    own, ensemble, mean = (next((row for row in rows if row["model"] == name), None) for name in (OWN[league], "ensemble", "mean-of-3"))
    return (*_scored(floor), *_scored(chosen), _above(chosen), _scored(own)[1], _above(own), _above(ensemble), _above(mean))


def _scored(row: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("-", "-") if row is None else (str(row["model"]), f"{row['vus_pr']:.3f}")


def _above(row: Mapping[str, Any] | None) -> str:
    if row is None or row.get("above_floor") is None:
        return "-"
    return f"{row['above_floor']:+.3f} ({row['above_floor_low']:+.3f} to {row['above_floor_high']:+.3f})"
