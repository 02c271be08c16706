"""The twelve aggregates of every user at one cut-off: ours against a bare polars query, and the peak of memory; and all FEATURES.

Run it as `python tests/benchmarks/bench_aggregates.py [EVENTS]` (default 10 million; 100_000_000 for the size of the
Netflix Prize: the peak is then to stay under 8 GiB, with FEATURES of a log that names items under 12). The target is at
most 1.3 times the time of the bare query.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.tasks.churn.history import DAY, aggregates_at, prepare, rows_at

HORIZON = 91 * DAY
CUTOFF = 1_500 * DAY
ROUNDS = 3


def log(n: int) -> pl.DataFrame:
    """Make n sorted events of about n / 209 users, as many each as in the Netflix Prize."""
    rng = np.random.default_rng(0)
    user = np.sort(rng.integers(0, max(n // 209, 1), n, dtype=np.int32))
    frame = pl.DataFrame({"user": user, "time": rng.integers(0, 2_200, n) * DAY, "value": rng.integers(1, 6, n).astype(np.float64)})
    names = pl.Series([f"{u:07d}" for u in range(int(user[-1]) + 1)])
    return frame.sort("user", "time").with_columns(
        user=names.cast(pl.Enum(names)).gather(pl.Series(user)),
        time=pl.col("time").cast(pl.Datetime("us", "UTC")),
        kind=pl.lit("rating", pl.Enum(["rating"])),
        item=pl.lit(None, pl.Enum(["0"])),
    )


def ours(frame: pl.DataFrame) -> np.ndarray:
    history = prepare(Events(frame, "made", ("rating",)))
    users = np.flatnonzero(history.active.events_until(CUTOFF))
    return aggregates_at(history, users, CUTOFF, HORIZON)


def features(frame: pl.DataFrame) -> np.ndarray:
    names = pl.Series([f"{k:05d}" for k in range(17_770)]).cast(pl.Enum([f"{k:05d}" for k in range(17_770)]))
    item = names.gather(pl.Series(np.random.default_rng(1).integers(0, 17_770, len(frame), dtype=np.uint32)))
    history = prepare(Events(frame.with_columns(item=item), "made", ("rating",)))
    users = np.flatnonzero(history.active.events_until(CUTOFF))
    return rows_at(history, users, CUTOFF, HORIZON, 32, ("?", "rating")).static


def polars(frame: pl.DataFrame) -> pl.DataFrame:
    """Ask the same of polars, without ragged histories: days and gaps first, then one group-by."""
    t = pl.col("time").to_physical()
    past = frame.lazy().filter(t <= CUTOFF)
    days = past.select("user", day=t // DAY).unique().sort("user", "day").with_columns(gap=pl.col("day").diff().over("user"))
    gaps = days.group_by("user").agg(
        pl.len().alias("n_days"), pl.col("gap").mean().alias("gap_mean"), pl.col("gap").std(ddof=0).alias("gap_std")
    )
    counts = {f"count_{k}": (t > CUTOFF - HORIZON * k // 4).sum() for k in (1, 2, 4, 8)}
    rest = past.group_by("user").agg(
        recency=(CUTOFF - t.max()) / DAY, tenure=(CUTOFF - t.min()) / DAY, n_events=pl.len(),
        value_sum=pl.col("value").sum(), value_mean=pl.col("value").mean(), **counts,
    )  # fmt: skip
    return rest.join(gaps, on="user").sort("user").collect()


def child(which: str, n: int) -> None:
    frame = log(n)
    made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    result = {"ours": ours, "polars": polars, "features": features}[which](frame)
    took = time.perf_counter() - began
    total = float(result["value_sum"].sum() if which == "polars" else result[:, 4].sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{took} {made / 1024**2} {peak / 1024**2} {total}")


def main(n: int) -> None:
    found: dict[str, list[list[float]]] = {"ours": [], "polars": [], "features": []}
    for _ in range(ROUNDS):
        for which, rounds in found.items():
            command = [sys.executable, __file__, "--child", which, str(n)]
            rounds.append([float(x) for x in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()])
    for which, rounds in found.items():
        took, made, peak = (sorted(column)[len(rounds) // 2] for column in list(zip(*rounds, strict=True))[:3])
        print(f"{which:8} {n:,} events: {took:.2f} s, peak {peak:.2f} GiB (of it {made:.2f} GiB to make the log)")
    assert found["ours"][0][3] == found["polars"][0][3], "both must have summed the same events"
    ratios = sorted(a[0] / b[0] for a, b in zip(found["ours"], found["polars"], strict=True))
    print(f"ratio of times, ours to bare polars: {ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}; target 1.3)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
