"""`bench predict`: the winner of a run on new data, as a table on stdout or in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cli.run import pairs
from bench.errors import ConfigError
from bench.runs.predict import answered


def predict_command(
    run: Path, data: str, model: str, dataset: str, family: str, options: Sequence[str], out: Path | None, *, explain: bool = False
) -> None:
    """Predict and write CSV to stdout, or CSV or Parquet to a file; who answered goes to stderr."""
    if out is not None and out.suffix not in {".csv", ".parquet"}:
        raise ConfigError(f"--out {out}: write to a file that ends in .csv or .parquet")
    frame, words = answered(run, data, model=model, dataset=dataset, family=family, options=pairs(options), explain=explain)
    sys.stderr.write(f"{words}\n")
    if out is None:
        sys.stdout.write(frame.write_csv())
    elif out.suffix == ".csv":
        frame.write_csv(out)
    else:
        frame.write_parquet(out)
    if out is not None:
        sys.stderr.write(f"{len(frame):,} rows in {out}\n")
