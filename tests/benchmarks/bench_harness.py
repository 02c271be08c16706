"""What the engine costs: time per trial with a model that does nothing, and throughput against hand-written loops.

Run it as `python tests/benchmarks/bench_harness.py` on a calm machine. Targets: at most 20 ms a trial; at least 90 % of the fits
per second of ask-and-tell loops written by hand, one process a core with one thread each, on the same small LSTM.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from execute.kit import cell_of, described, drive, executor_in, odd, tiny_split

from bench.metrics.churn import churn_metrics
from bench.tasks.base import Split, Stage, Truth
from bench.tune.plan import Budget

N, VALID, T, F = 2_048, 512, 32, 8
BATCH, EPOCHS, HIDDEN = 64, 5, 32
TRIALS, PAIRS, NO_OPS = 16, 3, 100
CORES = len(os.sched_getaffinity(0))

LSTM = f"""
import numpy as np
import torch
from optuna.distributions import FloatDistribution

import bench


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.LSTM({F}, {HIDDEN}, batch_first=True)
        self.head = torch.nn.Linear({HIDDEN}, 1)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])[:, 0]


def fit(x, y, lr, seed):
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = Net()
    optimiser = torch.optim.Adam(net.parameters(), lr)
    for _ in range({EPOCHS}):
        for rows in torch.randperm(len(x)).split({BATCH}):
            optimiser.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(net(x[rows]), y[rows]).backward()
            optimiser.step()
    return net


def predict(net, x):
    with torch.no_grad():
        return torch.sigmoid(net(x)).double().numpy()


class Small(bench.ArrayModel):
    name, tasks, runtime = "small", frozenset({{"churn"}}), "torch"

    @staticmethod
    def space():
        return {{"lr": FloatDistribution(1e-4, 1e-1, log=True)}}

    @staticmethod
    def default():
        return {{"lr": 1e-3}}

    def fit(self, train, ctx):
        self.net = fit(torch.from_numpy(train["x"]), torch.from_numpy(train["y"]), self.params["lr"], ctx.seed)

    def predict(self, inputs, ctx):
        return predict(self.net, torch.from_numpy(inputs["x"]))


@bench.hookimpl
def bench_models():
    return [Small]
"""


def data(seed: int, fit: int = N, valid: int = VALID) -> Split:
    """Make sequences whose label is the sign of a noisy sum: x float32 [N, T, F]."""
    rng = np.random.default_rng(seed)

    def part(n: int) -> tuple[dict[str, Any], np.ndarray]:
        x = rng.normal(size=(n, T, F)).astype(np.float32)
        y = (x[:, :, 0].sum(1) + rng.normal(size=n) > 0).astype(np.float32)
        return {"x": x, "y": y}, y

    stages, truths = {}, {}
    for stage in ("search", "final"):
        train, _ = part(fit)
        inputs, y = part(valid)
        stages[stage] = Stage(train, ({"x": inputs["x"]},))
        truths[stage] = Truth(y.astype(np.int8), np.arange(valid))
    return Split("sequences/v1", stages, truths, {})


def by_hand(path: str, fits: int, seed: int, ready: Any, go: Any) -> None:
    """Ask, fit, score and tell, as one would write it for one process."""
    import optuna
    import torch

    spec = importlib.util.spec_from_file_location("small", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    split = data(0)
    stage, truth = split.stages["search"], split.truths["search"].y
    x, y, inputs = (torch.from_numpy(a) for a in (stage.train["x"], stage.train["y"], stage.parts[0]["x"]))
    module.fit(x[:BATCH], y[:BATCH], 1e-3, 0)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    ready.release()
    go.wait()
    for _ in range(fits):
        trial = study.ask()
        net = module.fit(x, y, trial.suggest_float("lr", 1e-4, 1e-1, log=True), trial.number)
        study.tell(trial, churn_metrics(truth, module.predict(net, inputs), base_rate=0.5)["roc_auc"][0])


def loops(path: Path, fits: int) -> float:
    """Time hand-written loops, from when all are imported and warm: fits per second."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    share = [fits // CORES + (n < fits % CORES) for n in range(CORES)]
    processes = [context.Process(target=by_hand, args=(str(path), share[n], n, ready, go)) for n in range(CORES)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    began = time.perf_counter()
    go.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return fits / (time.perf_counter() - began)


def ours(folder: Path, path: Path) -> tuple[float, float]:
    """Time a search with its finals, from when all workers are imported and warm.

    Returns fits per second, and the share of the workers' time that was spent in fits: what is left to gain.
    """
    with executor_in(folder / "scratch", CORES) as executor:
        (plugin,) = described(executor, [path])
        warm = Budget(trials=max(4, 2 * CORES), seeds=1)
        # one stage is both: a worker that has done a final fit is replaced before it may search
        drive(executor, folder / "warm", [cell_of(plugin, data(1, BATCH, 8))], budget=Budget(trials=warm.trials, seeds=0))
        began = time.perf_counter()
        done = drive(executor, folder / "run", [cell_of(plugin, data(0))], budget=Budget(trials=TRIALS, seeds=1))
        seconds = time.perf_counter() - began
    assert {entry["status"] for entry in done.entries.values()} == {"ok"}
    busy = sum(entry["fit_seconds"] + entry["predict_seconds"] for entry in done.entries.values())
    return len(done.entries) / seconds, busy / (CORES * seconds)


def no_op(folder: Path, workers: int) -> float:
    """Time trials of a model that does nothing, in milliseconds each, workers being warm."""
    space = '@staticmethod\ndef space():\n    return {"x": FloatDistribution(0, 1)}\n@staticmethod\ndef default():\n    return {"x": 0.5}'
    path = odd(folder, "nothing", head="from optuna.distributions import FloatDistribution", body=space)
    with executor_in(folder / "scratch", workers) as executor:
        (plugin,) = described(executor, [path])
        drive(executor, folder / "warm", [cell_of(plugin, tiny_split(1))], budget=Budget(trials=4 * workers, seeds=0))
        began = time.perf_counter()
        done = drive(executor, folder / "run", [cell_of(plugin, tiny_split())], budget=Budget(trials=NO_OPS, seeds=0))
        seconds = time.perf_counter() - began
    assert len(done.outcomes["tiny/nothing"].trials) == NO_OPS
    return 1_000 * seconds / NO_OPS


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for workers in (1, CORES):
            costs = [no_op(_made(folder / f"no-op-{workers}-{n}"), workers) for n in range(3)]
            print(
                f"harness, no-op model, {workers} workers: {statistics.median(costs):.1f} ms a trial ({min(costs):.1f} to {max(costs):.1f})"
            )
        (path := folder / "small.py").write_text(LSTM)
        pairs = [(*ours(_made(folder / f"ours-{n}"), path), loops(path, TRIALS + 2)) for n in range(PAIRS)]
        ratios = [mine / theirs for mine, _, theirs in pairs]
        for mine, busy, theirs in pairs:
            print(f"  {mine:.2f} fits a second, {busy:.0%} of the workers' time in fits; by hand {theirs:.2f}")
        print(
            f"search throughput, {CORES} workers: {statistics.median(ratios):.2f} of loops by hand ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
