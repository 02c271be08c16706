"""A run on two nodes is disturbed at any moment: a node dies, the supervisor dies, a node joins; its ledger must be the local one.

The nodes are agents in this process behind a transport that can be cut, with workers of their own. Survived: the same ledger as
without a cluster, but for times, nothing in it twice, and no worker left on any node. Lost: anything else. `--ray`: on real Ray, see
`cluster_on_ray.py`.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from campaigns import campaign
from execute.kit import SMALL, cell_of, described, executor_in, homed, odd, steady, tiny_split
from execute.test_cluster import Wires, cluster, lines
from execute.test_parts import MIXED, forecaster
from tasks.forecast_kit import noise
from tasks.forecast_kit import series as plain_series
from tasks.forecast_kit import split as forecast_split
from tasks.test_anomaly import series as marked_series
from tasks.test_anomaly import split_of as anomaly_split

from bench.execute.executor import Executor
from bench.runs.run_events import Event, JobDone
from bench.runs.scheduler import Driver
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import Split
from bench.tasks.churn.task import Churn
from bench.tasks.forecasting.task import Forecasting
from bench.tune.ledger import Ledger
from bench.tune.plan import Budget

DISTANCE = "return np.abs(inputs.values - inputs.values.mean(axis=1, keepdims=True))"
DISTURBANCES = ("node", "supervisor", "join")


class SupervisorDiedError(Exception):
    """Stand for the signal that ends a supervisor."""


def problems(folder: Path) -> Mapping[str, tuple[type, Path, Split, Budget]]:
    """Make for each task a plugin file and a small problem."""
    folder.mkdir(parents=True, exist_ok=True)
    scorer = odd(folder, "distance", predict=DISTANCE, body='tasks = frozenset({"anomaly"})\n')
    forecasts = forecast_split(plain_series(noise(9, 100)), windows=3)
    return {
        "churn": (Churn, steady(folder), tiny_split(), Budget(trials=6, seeds=2)),
        "forecasting": (Forecasting, forecaster(folder, "mixed", predict=MIXED), forecasts, Budget(trials=1, seeds=3)),
        "anomaly": (Anomaly, scorer, anomaly_split(marked_series()), Budget(trials=1, seeds=3)),
    }


def driven(executor: Executor, folder: Path, problem: Any, listen: Callable[[Event], None] = lambda _: None) -> dict[str, dict]:
    """Run a problem on an executor; return what the ledger says, but for times."""
    task, path, own, budget = problem
    (plugin,) = described(executor, [path])
    cell = replace(cell_of(plugin, own), context=dict(own.context))
    with Ledger(folder) as ledger:
        Driver(task(), executor, ledger, SMALL, budget, listen).run([cell])
        return lines(ledger.entries)


def rounds(scratch: Path, tasks: tuple[str, ...] = ("churn", "forecasting", "anomaly")) -> campaign.Round:
    """Return the rounds; the local run of each task is made once."""
    known = problems(scratch / "plugins")
    plain: dict[str, dict] = {}

    def play(draw: random.Random) -> dict[str, Any]:
        task, what, moment = draw.choice(tasks), draw.choice(DISTURBANCES), draw.randrange(1, 30)
        if task not in plain:
            with executor_in(scratch / f"local-{task}") as local:
                plain[task] = driven(local, scratch / f"run-{task}", known[task])
        folder = scratch / f"{draw.getrandbits(48):012x}"
        folder.mkdir()
        words = disturbed(folder, known[task], what, moment, plain[task])
        if not words:
            shutil.rmtree(folder)
        return {"kind": f"{task}, {what}", "moment": moment, "end": "lost" if words else "survived", "words": words, "folder": str(folder)}

    return play


def disturbed(folder: Path, problem: Any, what: str, moment: int, expected: Mapping[str, dict]) -> str:
    """Run on two nodes, disturb at a moment, and give the run again if it ended; return what is wrong then."""
    fits = sum(line["again"] is False for line in expected.values())

    def listen(event: Event) -> None:
        told.append(event)
        if what == "supervisor" and sum(isinstance(e, JobDone) for e in told) > moment % fits:
            raise SupervisorDiedError

    told: list[Event] = []
    found: dict[str, dict] = {}
    try:
        with cluster(folder, north=1, south=1) as (executor, wires, _):
            disturb(wires, what, moment)
            found = driven(executor, folder / "run", problem, listen)
    except SupervisorDiedError:
        what = "after"
        with cluster(folder / "second", north=1, south=1) as (executor, _, _):
            found = driven(executor, folder / "run", problem)
    keys = [line for line in (folder / "run" / "ledger.jsonl").read_text().splitlines() if '"key"' in line]
    if found != expected:
        return "the ledger is another"
    return "" if len(keys) == len(expected) and homed(folder) == [] else "something is twice, or a worker is left"


def disturb(wires: Wires, what: str, moment: int) -> None:
    """Let a node die, or join, with the step of this number."""
    ended, count = wires.ended, [0]

    def counted(timeout: float) -> Any:
        count[0] += 1
        if count[0] == moment and what == "node":
            wires.cut("south")
        if count[0] == moment and what == "join":
            wires.join("east")
        return ended(timeout)

    wires.ended = counted  # type: ignore[method-assign]


def main() -> None:
    """Run the rounds with agents in this process, or on real Ray."""
    given = campaign.arguments(__doc__, "ray", rounds=100, nodes=20, supervisors=10)
    if given.ray:
        from campaigns import cluster_on_ray

        cluster_on_ray.by_hand(given)
    else:
        campaign.tell(campaign.run(rounds(given.scratch.resolve()), given.rounds, seed=given.seed, out=given.out))


if __name__ == "__main__":
    main()
