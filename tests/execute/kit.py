"""What the engine's tests share: a tiny churn problem, models that fit in milliseconds, and short ways to run them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.api import STATIC, ChurnInputs, ChurnTrain
from bench.execute.describe_plugins import Describer
from bench.execute.jobs import Limits, Plugin
from bench.execute.local import LocalExecutor
from bench.registry import Source
from bench.runs.cell import Cell
from bench.runs.run_events import Event, ignore
from bench.runs.scheduler import Driver
from bench.tasks.base import Split, Stage, Truth
from bench.tasks.churn.task import Churn
from bench.tune.ledger import Ledger
from bench.tune.plan import Budget, Outcome

FIT, VALID, TEST = 60, 41, 43
"""Rows of each part; no two parts, nor their sums, are of one length: a length tells what an array is of."""
PATIENCE = 180.0
"""Seconds that a condition may take on a busy machine; far more than it needs."""
SMALL = Limits(30.0, 2048.0)

# a model whose prediction depends on its parameters, its seed and the data: equal rows mean equal runs
STEADY = """
import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution

import bench


class Steady(bench.ArrayModel):
    name = "steady"
    tasks = frozenset({"churn"})

    @staticmethod
    def space():
        return {"slope": FloatDistribution(-2.0, 2.0), "power": IntDistribution(1, 3)}

    @staticmethod
    def default():
        return {"slope": 0.5, "power": 1}

    def fit(self, train, ctx):
        at = train.y.mean(), train.static[:, 0].mean(), np.random.default_rng(ctx.seed).normal(0.0, 0.01)
        self.state = {"at": np.array(at)}

    def predict(self, inputs, ctx):
        rate, centre, shift = self.state["at"]
        x = self.params["slope"] * np.sign(z := inputs.static[:, 0] - centre) * np.abs(z) ** self.params["power"]
        return 1.0 / (1.0 + np.exp(-(x + rate + shift)))
"""
HOOK = """

@bench.hookimpl
def bench_models():
    return [{classes}]
"""


def write_plugin(folder: Path, name: str, text: str, *, classes: str) -> Path:
    """Write a single-file plugin that offers the classes of `text`."""
    path = folder / f"{name}.py"
    path.write_text(text + HOOK.format(classes=classes))
    return path


def steady(folder: Path, name: str = "steady") -> Path:
    return write_plugin(folder, name, STEADY, classes="Steady")


def model_text(*, fit: str = "pass", predict: str = "return np.full(len(inputs), 0.5)", head: str = "", body: str = "") -> str:
    """Write a model `Odd` named after its file, with the given bodies of `fit` and `predict`."""
    parts = [
        "import os, sys, time\nfrom pathlib import Path\n\nimport numpy as np\n\nimport bench\n",
        textwrap.dedent(head),
        'class Odd(bench.ArrayModel):\n    name = Path(__file__).stem\n    tasks = frozenset({"churn"})\n',
        textwrap.indent(textwrap.dedent(body), "    "),
        "    def fit(self, train, ctx):\n" + textwrap.indent(textwrap.dedent(fit), "        "),
        "    def predict(self, inputs, ctx):\n" + textwrap.indent(textwrap.dedent(predict), "        "),
    ]
    return "\n".join(parts) + "\n"


SPACE = '@staticmethod\ndef space():\n    return {"x": FloatDistribution(0.0, 1.0)}\n@staticmethod\ndef default():\n    return '
"""The part of a body that searches one number; what follows is its default."""


def searching(default: float) -> dict[str, str]:
    """Give head and body of a model that searches one number, `x`."""
    return {"head": "from optuna.distributions import FloatDistribution\n", "body": f'{SPACE}{{"x": {default}}}\n'}


def odd(folder: Path, name: str, **parts: str) -> Path:
    return write_plugin(folder, name, model_text(**parts), classes="Odd")


def file_source(path: Path) -> Source:
    return Source(path.stem, str(path), is_file=True)


def _inputs(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    lengths = rng.integers(1, 5, n)
    e = int(lengths.sum())
    return {
        "offsets": np.r_[0, np.cumsum(lengths)],
        "days_before_cutoff": rng.uniform(0, 90, e).astype(np.float32),
        "gap": rng.uniform(0, 9, e).astype(np.float32),
        "kind": np.ones(e, np.int16),
        "value": rng.normal(size=e).astype(np.float32),
        "count": np.ones(e, np.float32),
        "static": rng.normal(size=(n, len(STATIC))),
        "cutoff": np.full(n, 19_000.0),
        "group": np.arange(n),
    }


def tiny_split(seed: int = 0) -> Split:
    """Make a problem of random labels, weakly tied to the first aggregate."""
    rng = np.random.default_rng(seed)
    parts = [_inputs(rng, n) for n in (FIT, VALID, FIT + VALID, TEST)]
    labels = [(part["static"][:, 0] + rng.normal(0, 1.0, len(part["static"])) > 0).astype(np.int8) for part in parts]
    labels[2][FIT:] = labels[1]  # the final fit's labels end with the validation's, as in a real split
    kinds = ("?", "purchase")
    stages = {
        "search": Stage(ChurnTrain(**parts[0], kinds=kinds, y=labels[0]), (ChurnInputs(**parts[1], kinds=kinds),)),
        "final": Stage(ChurnTrain(**parts[2], kinds=kinds, y=labels[2]), (ChurnInputs(**parts[3], kinds=kinds),)),
    }
    truths = {"search": Truth(labels[1], parts[1]["group"]), "final": Truth(labels[3], parts[3]["group"])}
    return Split("tiny/v1", stages, truths, {"horizon_days": 28.0})


def cell_of(plugin: Plugin, split: Split, dataset: str = "tiny") -> Cell:
    parts = {"data": dataset, "model": plugin.name, "plugin": plugin.source_hash}
    return Cell(dataset, split, plugin, "cpu", parts, {"horizon": 28.0, "epochs": 2, "loss": "bce"})


@contextmanager
def executor_in(folder: Path, workers: int = 1) -> Iterator[LocalExecutor]:
    folder.mkdir(parents=True, exist_ok=True)
    executor = LocalExecutor(workers, "cpu", folder)
    try:
        yield executor
    finally:
        executor.close()


def described(executor: LocalExecutor, paths: Sequence[Path], memory_mb: float = 2048.0) -> list[Plugin]:
    return Describer(executor, [file_source(p) for p in paths], memory_mb).finish()[0]


@dataclass
class Done:
    """Hold what a run of cells left."""

    outcomes: Mapping[str, Outcome]
    entries: Mapping[str, Mapping]
    events: list[Event]

    def of(self, dataset: str, model: str) -> Mapping:
        """Give the first search entry of a cell."""
        return self.outcomes[f"{dataset}/{model}"].valid


def drive(
    executor: LocalExecutor,
    folder: Path,
    cells: Sequence[Cell],
    *,
    limits: Limits = SMALL,
    budget: Budget | None = None,
    listen: Callable[[Event], None] = ignore,
) -> Done:
    """Run cells with a ledger in `folder`."""
    events: list[Event] = []

    def heard(event: Event) -> None:
        events.append(event)
        listen(event)

    with Ledger(folder) as ledger:
        outcomes = Driver(Churn(), executor, ledger, limits, budget or Budget(trials=1, seeds=1), heard).run(cells)
        return Done(outcomes, dict(ledger.entries), events)


def lives(pid: int) -> bool:
    """Say whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition; fail in words when it does not come."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.01)


def homed(folder: Path) -> list[int]:
    """List the running processes that were started with a HOME below `folder`: workers, and all that they started."""
    mark = b"\0HOME=" + os.fsencode(folder)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and lives(int(entry.name)):
            try:
                if mark in b"\0" + (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def bench_process(arguments: Sequence[str], env: Mapping[str, str], **more: object) -> subprocess.Popen:
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )
