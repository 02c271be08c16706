"""What the GPUs of this machine are worth: each network is fitted on the CPU and on a GPU, then several at once share one.

The shipped networks are fitted with their defaults on a simulated log; `gpu_ways` times CUDA graphs and fused fits. The number of
jobs that got most done, and whether graphs gain, are kept beside the cache, by the GPU's name: a run begins with them.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bench.data.ragged import Array
from bench.errors import ConfigError
from bench.execute.gpus import Gpu, gpus
from bench.execute.jobs import Limits
from bench.execute.local import LocalExecutor
from bench.execute.machine import memory_mb
from bench.execute.messages import Done, Fit
from bench.execute.placement import Place, placed
from bench.execute.process_tree import scratch_folder
from bench.execute.task_space import default_of
from bench.neural.switch import GRAPHS
from bench.registry import Source, discover
from bench.runs.gpu_ways import hearing, timed_ways
from bench.sources.cache import cache_folder
from bench.tasks.base import Split
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES

NETWORKS = {"lstm": "torch", "seq2seq": "torch", "self-attention": "torch", "vae": "torch", "keras-lstm": "tensorflow",
            "keras-vae": "tensorflow"}  # fmt: skip
"""Name -> framework."""
AT_ONCE = (1, 2, 4, 8)
TIMED = "self-attention"
"""The network of which several are fitted at once."""
NEAR = 0.02
"""Largest difference in ROC AUC between the devices that passes: their sums round differently, and training amplifies that."""
GAIN = 1.05
"""More jobs at once must get so much more done to be preferred."""
SECONDS = 600.0
Words: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Fitted:
    """One fit: how it ended, what it scored, how long it took."""

    status: str
    reason: str = ""
    auc: float = float("nan")
    seconds: float = 0.0
    peak_mb: float | None = None


Attempt: TypeAlias = Callable[[str, Sequence[Place]], list[Fitted]]
"""Fit a network once at each place, all at the same time."""


def check_gpus(say: Words) -> bool:
    """Check, time and keep the best number of jobs; return whether all is well. Raises `ConfigError` where there is no GPU."""
    found = gpus()
    if not found:
        raise ConfigError("doctor --gpu: no GPU can be seen (NVIDIA's driver is not loaded, or CUDA_VISIBLE_DEVICES hides all)")
    for number, gpu in enumerate(found):
        say(f"cuda:{number}  {gpu.name}, {gpu.memory_mb / 1024:.0f} GB, {gpu.free_mb / 1024:.0f} free")
    split = simulated()
    try_out = attempts(split)
    sound = compared(try_out, found[0], say)
    if sound:
        graphs = timed_ways(hearing(split, found[0]), found[0].name, say)
        keep(found[0].name, timed(try_out, found[0], say, graphs=graphs), graphs=graphs)
    return sound


def compared(try_out: Attempt, gpu: Gpu, say: Words) -> bool:
    """Fit each network on the CPU and on the first GPU; return whether all work on both and score alike."""
    sound = True
    for name in NETWORKS:
        (cpu,), (own,) = try_out(name, [Place()]), try_out(name, placed("cuda:0", 1, 1, (gpu,), 1))
        broken = next((f"{where}: {each.status}: {each.reason}" for where, each in (("CPU", cpu), ("GPU", own)) if each.status != "ok"), "")
        apart = abs(cpu.auc - own.auc)
        if broken.startswith(("CPU: skipped", "GPU: skipped")):
            say(f"{name:15} {broken}")
            continue
        if broken or not apart <= NEAR:
            sound = False
        scores = f"AUC {cpu.auc:.3f} and {own.auc:.3f}" + (" DIFFER" if not apart <= NEAR else "")
        say(f"{name:15} " + (broken or f"CPU {cpu.seconds:.1f} s, GPU {own.seconds:.1f} s ({cpu.seconds / own.seconds:.1f} x); {scores}"))
    return sound


def timed(try_out: Attempt, gpu: Gpu, say: Words, *, graphs: bool = False) -> int:
    """Fit several at once on the first GPU; return how many get most done, the fewest of those that are nearly as good."""
    best, most = 1, 0.0
    for at_once in AT_ONCE:
        began = time.perf_counter()
        places = [replace(place, graphs=graphs) for place in placed("cuda:0", at_once, at_once, (gpu,), at_once)]
        done = try_out(TIMED, places)
        rate = 60 * at_once / max(time.perf_counter() - began, 1e-9)
        if failed := next((each for each in done if each.status != "ok"), None):
            say(f"{at_once} at once: {failed.status}: {failed.reason}")
            break
        held = [each.peak_mb for each in done if each.peak_mb is not None]
        say(f"{at_once} at once: {rate:.1f} fits a minute" + (f", each holds {max(held):.0f} MB" if held else ""))
        if rate > GAIN * most:
            best, most = at_once, rate
    say(f"best: --jobs-per-gpu {best}, which runs on a {gpu.name} use from now on")
    return best


def simulated() -> Split:
    """Cut a simulated log as a default churn run does."""
    adapter: Any = discover().dataset("retail")
    short = PROFILES["short"]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        adapter.simulate(Path(folder), short.users, 0)
        events = adapter.read(Path(folder), {})
    return Churn().split(events, {"horizon": "28d"}, short, 0)


def attempts(split: Split) -> Attempt:
    """Make the function that fits a network, with its default, in workers as a run does."""
    sources, stage, truth = discover().sources["bench.models"], split.stages["final"], split.truths["final"].y
    short = PROFILES["short"]
    context = {"epochs": short.epochs, "history": short.history, "rows": short.rows, **split.context}

    def attempt(name: str, places: Sequence[Place]) -> list[Fitted]:
        executor = LocalExecutor(0, "cpu", scratch_folder(), places=places)
        limits = Limits(SECONDS, memory_mb() / 2 / len(places))
        try:
            default = _default(sources[name])
            request = Fit(sources[name], name, default, 0, context, "cpu" if places[0].number is None else "cuda:0")
            for ticket in range(len(places)):
                executor.submit(ticket, request, limits, runtime=NETWORKS[name], stage=stage)
            return [_fitted(done, truth) for done in _ended(executor, len(places))]
        finally:
            executor.close()

    return attempt


def _default(source: Source) -> dict[str, Any]:
    from bench.registry import models

    return dict(default_of(models(source)[source.name], "churn"))


def _ended(executor: LocalExecutor, count: int) -> Iterator[Done]:
    while count:
        for answer in executor.collect(1.0):
            if isinstance(answer, Done):
                count -= 1
                yield answer


def _fitted(done: Done, truth: Array) -> Fitted:
    # takes a second, and every run imports this module
    from sklearn.metrics import roc_auc_score

    result = done.result
    if result.status != "ok":
        return Fitted(result.status, result.reason)
    auc = float(roc_auc_score(truth, np.load(result.parts[0]["prediction"])))
    return Fitted("ok", "", auc, result.fit_seconds, result.gpu_peak_mb)


@dataclass(frozen=True)
class Setting:
    """What a GPU was found to do best with."""

    jobs: int
    graphs: bool = False


def keep(name: str, jobs: int, *, graphs: bool = False) -> None:
    """Remember how many jobs a GPU of this name is best given at once, and whether training steps are captured as CUDA graphs."""
    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {gpu: asdict(setting) for gpu, setting in {**_measured(), name: Setting(jobs, graphs)}.items()}
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(kept))
    partial.replace(path)


def remembered(found: Sequence[Gpu]) -> int | None:
    """Return how many jobs the GPUs of this machine are best given at once: the fewest of their kinds; None: not measured."""
    return min((setting.jobs for setting in _of(found)), default=None)


def graphs_wanted(found: Sequence[Gpu]) -> bool:
    """Return whether training steps are captured as CUDA graphs: as the user's environment says, else where all GPUs gain by it."""
    told = os.environ.get(GRAPHS, "")
    if told not in {"", "0", "1"}:
        raise ConfigError(f"{GRAPHS}={told}: 1 captures training steps as CUDA graphs, 0 does not; unset: as bench doctor --gpu found best")
    known = _of(found)
    return told == "1" if told else len(known) == len(found) > 0 and all(setting.graphs for setting in known)


def _of(found: Sequence[Gpu]) -> list[Setting]:
    kept = _measured()
    return [kept[gpu.name] for gpu in found if gpu.name in kept]


def _measured() -> dict[str, Setting]:
    try:
        found = json.loads(_file().read_text())
        return {str(name): _setting(kept) for name, kept in found.items()}
    except FileNotFoundError:
        return {}
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ConfigError(f"{_file()} cannot be read ({error}); remove it, or measure again: bench doctor --gpu") from None


def _setting(kept: Any) -> Setting:
    if isinstance(kept, int):  # as it was written before there were graphs
        return Setting(max(1, kept))
    return Setting(max(1, int(kept["jobs"])), bool(kept["graphs"]))


def _file() -> Path:
    return cache_folder().parent / "gpus.json"
