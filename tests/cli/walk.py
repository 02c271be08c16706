"""Give every command once, under limits that this process sets for itself; print as JSON lines how each ended.

    python walk.py CONDITION RUN PLACE LOG HERE

CONDITION: `descriptors`, `address space`, `data`, or `none` where the disk is what is short (HERE then lies on it).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import resource
import sys
import traceback
from pathlib import Path

DESCRIPTORS = 4
"""More than are open when the libraries are loaded: enough to read a file, too few for a worker."""
MEMORY = {"address space": (resource.RLIMIT_AS, "VmSize"), "data": (resource.RLIMIT_DATA, "VmData")}
BEYOND = 64 << 20
"""Bytes of either beyond what the process has when its libraries are loaded."""


def commands(run: str, place: str, log: str, here: str) -> list[list[str]]:
    """List one invocation of every command that reads or writes."""
    churn = ["--task", "churn", "--profile", "smoke", "--trials", "1", "--workers", "1", "--quiet"]
    return [
        ["run", *churn, "--dataset", f"retail={log}", "--model", "base-rate", "--out", f"{here}/run"],
        ["run", *churn, "--dataset", "retail", "--model", "base-rate", "--out", f"{here}/simulated"],
        [
            "run",
            *churn,
            "--data",
            f"{log}/sales.csv",
            "--user",
            "CustomerID",
            "--time",
            "InvoiceDate",
            "--model",
            "base-rate",
            "--out",
            f"{here}/own",
        ],
        ["predict", run, "--data", log, "--out", f"{here}/new.csv"],
        ["board", "show", run],
        ["board", "compare", run, run],
        ["board", "export", run, "--to", f"{here}/board.parquet"],
        ["report", run],
        ["publish", run, "--to", f"{here}/place"],
        ["publish", place, "--rebuild"],
        ["publish", run, "--retract", "--reason", "test", "--to", place],
        ["verify", place],
        ["data", "simulate", "retail", f"{here}/shop", "--size", "50"],
        ["data", "add", "shop", f"{log}/sales.csv", "--adapter", "retail"],
        ["data", "list"],
        ["data", "info", f"retail={log}"],
        ["data", "check", "retail", log],
        ["data", "clear"],
        ["list", "models"],
        ["list", "datasets"],
        ["plugin", "new", "own", "--to", here],
        ["doctor"],
    ]


def warmed(run: str, log: str) -> None:
    """Import what the commands import: here memory is to be short for data, not for code."""
    import polars as pl
    import pyarrow.parquet as pq

    for name in ("bench.publish.verify", "bench.report", "bench.runs.predict", "bench.runs.runner"):
        importlib.import_module(name)
    pq.read_table(f"{run}/leaderboard.parquet")
    pl.read_csv(f"{log}/sales.csv", infer_schema=False)


def main(condition: str, run: str, place: str, log: str, here: str) -> None:
    """Walk all commands."""
    from bench.cli import invoke

    if condition != "none":
        warmed(run, log)
    if condition in MEMORY:
        kind, used = MEMORY[condition]
        limit = int(re.findall(rf"{used}:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1024 + BEYOND
        resource.setrlimit(kind, (limit, resource.RLIM_INFINITY))
    if condition == "descriptors":
        # the runtime of polars opens its own when it is first used
        limit = len(list(Path("/proc/self/fd").iterdir())) + DESCRIPTORS
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    answers = os.dup(1)
    for command in commands(run, place, log, here):
        said, errors = io.StringIO(), io.StringIO()
        escaped = ""
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
            try:
                code = invoke(command)
            except BaseException as error:  # noqa: BLE001 - this is what is looked for
                escaped, code = f"{type(error).__name__}: {error}\n{traceback.format_exc()[-1500:]}", -1
        line = {"command": command, "code": code, "errors": errors.getvalue(), "escaped": escaped}
        os.write(answers, json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
