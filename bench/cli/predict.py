"""`bench predict`: the winner of a run on new data, as a table on stdout or in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cli.run import pairs
from bench.errors import ConfigError
from bench.runs.predict import answered


def predict_command(run: Path, data: str, options: Sequence[str], out: Path | None, **chosen: Any) -> None:
    """Predict and write CSV to stdout, or CSV or Parquet to a file; who answered what goes to stderr.

    `chosen`: the other arguments of `bench.runs.predict.answered`.
    """
    if out is not None and out.suffix not in {".csv", ".parquet"}:
        raise ConfigError(f"--out {out}: write to a file that ends in .csv or .parquet")
    answer = answered(run, data, options=pairs(options), **chosen)
    for sentence in answer.about:
        sys.stderr.write(f"{sentence}\n")
    if out is None:
        sys.stdout.write(answer.frame.write_csv())
    elif out.suffix == ".csv":
        answer.frame.write_csv(out)
    else:
        answer.frame.write_parquet(out)
    if out is not None:
        sys.stderr.write(f"{len(answer.frame):,} rows in {out}\n")
