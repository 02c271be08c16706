"""Netflix text form to sorted Parquet, against bare polars on the same files; and the peak memory of all 100 million ratings.

Run it as `python tests/benchmarks/bench_netflix.py [--ratings 10_000_000] [--pairs 5] [--full] [--folder FOLDER]`. The
targets: at least 0.8 of the rate of bare polars scanning, casting and sorting by (user, time); with `--full`, less than
8 GiB for reading 100,480,507 ratings into the cache, the fingerprint included. Each measurement has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from netflix_full import RATINGS, write

ROW_GROUP = 1 << 22
GIB = 1 << 20  # in kB, the unit of /proc


def ours(folder: Path, out: Path) -> int:
    """Read the folder as the adapter does and write the log."""
    from bench_datasets.netflix import Netflix

    events = Netflix().read(folder, {})
    events.frame.write_parquet(out, row_group_size=ROW_GROUP)
    return len(events)


def bare(folder: Path, out: Path, engine: str) -> int:
    """Scan, cast, sort and write with polars and nothing else: no checks, no counts, the narrowest types."""
    schema = {"user": pl.String, "rating": pl.Int8, "time": pl.Date}
    lines = pl.scan_csv(
        folder / "combined_data_*.txt",
        has_header=False,
        quote_char=None,
        schema=schema,
        missing_columns="insert",
        truncate_ragged_lines=True,
    )
    movie = pl.when(pl.col("rating").is_null()).then(pl.col("user").str.strip_suffix(":")).cast(pl.Int16, strict=False)
    ratings = (
        lines.with_columns(movie=movie.forward_fill()).filter(pl.col("rating").is_not_null()).with_columns(pl.col("user").cast(pl.Int32))
    )
    ratings = ratings.sort("user", "time")
    if engine == "streaming":
        ratings.sink_parquet(out, row_group_size=ROW_GROUP)
    else:
        ratings.collect(engine="in-memory").write_parquet(out, row_group_size=ROW_GROUP)
    return int(pl.scan_parquet(out).select(pl.len()).collect().item())


def cached(folder: Path, out: Path) -> int:
    """Read through the cache, fingerprint included, and say when each part was done."""
    import bench.sources.cache
    from bench_datasets.netflix import Netflix

    os.environ["BENCH_CACHE"] = str(out)
    plain = bench.sources.cache.fingerprint

    def timed(*arguments: object) -> str:
        began = time.perf_counter()
        found = plain(*arguments)  # type: ignore[arg-type]
        print(f"fingerprint {time.perf_counter() - began:.1f} s", file=sys.stderr)
        return found

    bench.cache.fingerprint = timed
    return len(bench.sources.cache.read_cached(Netflix(), folder, {}).data)


MEASURED = {
    "ours": ours,
    "polars, streaming": lambda folder, out: bare(folder, out, "streaming"),
    "polars, in memory": lambda folder, out: bare(folder, out, "in-memory"),
    "cache": cached,
}


def child(what: str, folder: Path, out: Path) -> None:
    """Measure once, and print rows, seconds, seconds of processor time and peak memory as JSON."""
    import bench_datasets.netflix  # noqa: F401  what is measured is reading, not the start of Python

    began, used = time.perf_counter(), time.process_time()
    rows = MEASURED[what](folder, out)
    taken = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    print(json.dumps({"rows": rows, **taken, "peak": memory("self", "VmHWM")}))


def memory(process: int | str, key: str) -> float:
    """Give a process's memory in GiB; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / GIB for line in lines if line.startswith(key)), 0.0)


def measured(what: str, folder: Path, *, show: bool = False) -> dict[str, float]:
    """Measure in a new process; show its memory while it runs."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, __file__, "--child", what, "--folder", str(folder), "--out", str(Path(scratch) / "out.parquet")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        began = time.perf_counter()
        while show and process.poll() is None:
            now, top = memory(process.pid, "VmRSS"), memory(process.pid, "VmHWM")
            print(f"\r{time.perf_counter() - began:5.0f} s, {now:.2f} GiB now, {top:.2f} GiB at most ", end="", file=sys.stderr, flush=True)
            time.sleep(2)
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{what} ended with {process.returncode}")
    return json.loads(output.splitlines()[-1])


def compare(folder: Path, pairs: int) -> None:
    """Measure in turns, so that a busy machine is busy for all; print medians and the ratio to the faster bare polars."""
    runs: dict[str, list[dict[str, float]]] = {what: [] for what in MEASURED if what != "cache"}
    for turn in range(pairs):
        for what, found in runs.items():
            found.append(measured(what, folder))
            print(f"\rround {turn + 1} of {pairs}, {what}      ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    medians = {what: {key: statistics.median(run[key] for run in found) for key in found[0]} for what, found in runs.items()}
    for what, median in medians.items():
        rate = median["rows"] / median["seconds"] / 1e6
        print(f"{what:18} {rate:5.2f}M ratings/s, {median['seconds']:.2f} s, {median['cpu']:.2f} s of processor, {median['peak']:.2f} GiB")
    fastest = min((w for w in runs if w != "ours"), key=lambda w: medians[w]["seconds"])
    ratios = [theirs["seconds"] / own["seconds"] for theirs, own in zip(runs[fastest], runs["ours"], strict=True)]
    print(f"ratio to {fastest}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {pairs} rounds; target 0.8)")


def full(folder: Path) -> None:
    """Measure the peak of reading all ratings into the cache."""
    found = measured("cache", folder, show=True)
    print(f"\n{found['rows']:,.0f} ratings into the cache: {found['seconds']:.0f} s, peak {found['peak']:.2f} GiB (target 8)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", type=lambda text: int(text.replace("_", "")), default=10_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the files are, or are written and left; else a temporary folder")
    parser.add_argument("--child")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.folder, given.out)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        if not any(folder.glob("combined_data_*.txt")):
            write(folder, RATINGS if given.full else given.ratings)
        if given.full:
            full(folder)
        else:
            compare(folder, given.pairs)


if __name__ == "__main__":
    main()
