"""Print, task by task, what our models are worth beside the best floor.

`python tests/benchmarks/bench_answers.py anomaly|anomaly_defaults|forecasting --data FOLDER`; `anomaly_defaults` asks no network
and searches nothing: minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib import import_module
from pathlib import Path

TASKS = ("anomaly", "anomaly_defaults", "forecasting")


def main() -> None:
    """Run the sets of one task and print a Markdown table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the open data sets")
    parser.add_argument("--set", action="append", default=[], help="only these sets")
    parser.add_argument("--model", action="append", default=[], help="only these models")
    parser.add_argument("--out", type=Path, help="keep the runs here")
    given = parser.parse_args()
    part = import_module(f"answers.{given.task}")
    with tempfile.TemporaryDirectory() as temporary:
        print(f"| {' | '.join(part.FIELDS)} |\n|{' --- |' * len(part.FIELDS)}")
        for row in part.table(given.data, given.out or Path(temporary), given.set, given.model):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
