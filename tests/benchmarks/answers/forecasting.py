"""Forecasting: on every open set, what validation chose against the best floor, with paired intervals.

Chosen are twice: the best model by validation, floors left out, and the answer, which is what a reader is to take: the `ensemble`
(the median of the three best rows, floors among them), or the one row that was better than it beyond its standard error.

Two floors stand in each row: the one that validation chooses, as a reader would without a look at test, and the one that
turned out best on test, which is the stricter bar. Floors are the rules and the methods for one series; `negbin` and
`seasonal-quantiles`, which have a search, are counted among them: that too is the stricter bar. Differences are
the floor's score less the row's, so that above 0 is better; 95 % intervals, paired, resampled as on the board.
Where the answer is a floor itself its difference to that floor is 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_tuning import Scored, boards_of

import bench
from bench.board.ranking import candidates
from bench.metrics.bootstrap import interval
from bench.runs.ensemble import BLENDS, NAME

FLOORS = (
    "zero", "naive", "seasonal-naive", "window-average", "climatology", "seasonal-quantiles", "negbin", "croston-sba", "tsb", "adida",
    "ets", "theta",
)  # fmt: skip
LOCAL = ("ets", "theta", "arima", "state-space")
"""Models that are fitted series by series: on hundreds of series they take most of an hour."""


@dataclass(frozen=True)
class OpenSet:
    """One data set of the table."""

    source: str
    options: Mapping[str, str]
    every: int = 0
    """Only every so-manieth series of a folder of wide files; 0: all."""
    without: tuple[str, ...] = ()
    """Models that are left out unless they are asked for by name."""


SETS = {
    "retail-sim": OpenSet("retail", {}),
    "ratings-sim": OpenSet("netflix", {}),
    "social-sim": OpenSet("social", {}),
    "page-views": OpenSet("series={data}/wp_page_views", {"windows": "8"}),
    "cdnow-total": OpenSet("retail={data}/cdnow/CDNOW_master.txt", {"level": "total", "windows": "8"}),
    "online-retail": OpenSet("retail={data}/online_retail/by-day", {}),
    "movielens": OpenSet("netflix={data}/movielens_latest_small", {"freq": "W"}),
    "college-msg": OpenSet("social={data}/college_msg/CollegeMsg.txt", {"level": "user"}, without=LOCAL),
    "m4-hourly-sixth": OpenSet("series={data}/m4_hourly", {"season": "24"}, every=6, without=("arima", "state-space")),
    "m4-hourly": OpenSet(
        "series={data}/m4_hourly", {"season": "24"}, without=(*LOCAL, "lstm", "keras-lstm", "keras-vae", "self-attention")
    ),
}
FIELDS = (
    "set", "metric", "floor by validation", "score", "best floor on test", "score", "best model by validation", "score", "above the floor",
    "above the best", "answer", "score", "above the floor", "above the best",
)  # fmt: skip


def table(data: Path, out: Path, sets: Sequence[str] = (), models: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """Run each set under the default profile and yield its row."""
    for name in sets or SETS:
        own = SETS[name]
        source = own.source.format(data=data) if not own.every else f"series={thinned(data / 'm4_hourly', out / 'data' / name, own.every)}"
        board = bench.run("forecasting", datasets=[source], models=tuple(models) or serving(own), out=out / name, options=own.options)
        ((scored, _),) = boards_of(out / name)
        standing = [board.rows[at] for at in candidates(board.rows)]
        yield (name, *compared(scored, standing))


def serving(own: OpenSet) -> tuple[str, ...]:
    """Return the models that run on a set; none named: all that serve the task."""
    from bench.registry import discover, models

    if not own.without:
        return ()
    sources = discover().sources["bench.models"]
    return tuple(n for n, source in sources.items() if n not in own.without and "forecasting" in models(source)[n].tasks)


def thinned(source: Path, target: Path, every: int) -> Path:
    """Write every so-manieth series of a folder of wide files."""
    target.mkdir(parents=True, exist_ok=True)
    for file in source.glob("*.csv"):
        head, *rows = file.read_text().splitlines()
        (target / file.name).write_text("\n".join([head, *rows[::every]]) + "\n")
    return target


def compared(board: Scored, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Compare the best model on validation, and the answer, with both floors."""
    metric = board.split.ranking.metric
    floors = [r for r in rows if r["model"] in FLOORS and r["valid_score"] is not None]
    models = [r for r in rows if r["model"] not in {*FLOORS, *BLENDS} and r["valid_score"] is not None]
    by_validation, by_test = (min(floors, key=lambda r, key=key: r[key]) for key in ("valid_score", metric))
    model = min(models, key=lambda r: r["valid_score"])
    found = [f"{by_validation['model']}", f"{by_validation[metric]:.3f}", f"{by_test['model']}", f"{by_test[metric]:.3f}"]
    for row in (model, answer(rows)):
        found += [named(row), f"{row[metric]:.3f}", *(gain(board, row, floor) for floor in (by_validation, by_test))]
    return metric, *found


def answer(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the row of the ensemble; where it has one member, and so no row, that member's: the best on validation."""
    known = [r for r in rows if r["valid_score"] is not None]
    alone = min((r for r in known if r["model"] not in BLENDS), key=lambda r: (r["valid_score"], r["model"]))
    return next((r for r in known if r["model"] == NAME), alone)


def named(row: Mapping[str, Any]) -> str:
    """Name a row, an ensemble by its members."""
    return " + ".join(json.loads(row["params"])) if row["model"] == NAME else str(row["model"])


def gain(board: Scored, row: Mapping[str, Any], floor: Mapping[str, Any]) -> str:
    """Write by how much a row's score is better than a floor's, with its interval."""
    one = board.drawn(row["model"], row["tuning"])
    other = board.drawn(floor["model"], floor["tuning"])
    if one is None or other is None:
        return "-"
    low, high = interval(one[1] - other[1])
    return f"{one[0] - other[0]:+.3f} ({low:+.3f} to {high:+.3f})"
