"""What a training gains on a GPU by CUDA graphs, and several of one shape by being one program; `bench doctor --gpu` tells it.

Whether graphs gain decides what a run begins with. Fused fits are timed for the report alone: no run makes any (docs/guides/gpu.md).
"""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from bench.api import Context
from bench.errors import BenchError
from bench.execute.gpus import Gpu
from bench.execute.jobs import Limits
from bench.execute.local import LocalExecutor
from bench.execute.machine import memory_mb
from bench.execute.messages import Call, Done, Note
from bench.execute.placement import placed
from bench.execute.process_tree import scratch_folder
from bench.execute.task_space import default_of
from bench.neural.switch import GRAPHS
from bench.registry import Source, discover, models
from bench.tasks.base import Split
from bench.tasks.profiles import PROFILES

TIMED = ("lstm", "self-attention", "vae")
"""Networks that are timed: the ones that fused fits are meant for."""
MEMBERS = (4, 16, 64)
"""Fits that are one program."""
REPEATS = 2
GAIN = 1.05
"""CUDA graphs must be so much faster, in the median of the networks, to be preferred."""
NEAR = 0.02
"""Largest difference in ROC AUC between the ways that passes: dropout and latents are drawn otherwise."""
SECONDS = 900.0
Words: TypeAlias = Callable[[str], None]
Hear: TypeAlias = Callable[[str], Iterable[Mapping[str, Any]]]
"""Name of a network -> what is noted of each way: `way`, `seconds`, `auc`, and `reason` where it is not as it should be."""


def timed_ways(hear: Hear, gpu: str, say: Words) -> bool:
    """Say what CUDA graphs and fused fits gain; return whether a run should use graphs."""
    gains, sound = [], True
    for name in TIMED:
        found = {str(note["way"]): note for note in hear(name)}
        eager, graphs = found.get("eager", {}), found.get("graphs", {})
        untimed = found.get("ended", {}).get("reason", "it was not timed")
        reason = eager.get("reason") or graphs.get("reason") or ("" if eager and graphs else untimed)
        if reason:
            say(f"{name:15} CUDA graphs: {reason}")
            sound = False
        else:
            gains.append(eager["seconds"] / graphs["seconds"])
            alike = abs(eager["auc"] - graphs["auc"]) <= NEAR
            sound &= alike
            scores = f"AUC {eager['auc']:.3f} and {graphs['auc']:.3f}" + ("" if alike else " DIFFER")
            say(f"{name:15} eager {eager['seconds']:.1f} s, CUDA graphs {graphs['seconds']:.1f} s ({gains[-1]:.1f} x); {scores}")
        for way, note in found.items():
            if "members" in note:
                say(f"{name:15} {way}: " + (note["reason"] or _gain(eager, note, note["members"])))
        if not reason and "ended" in found:
            say(f"{name:15} fused: {found['ended']['reason']}")
    better = sound and bool(gains) and statistics.median(gains) > GAIN
    say(f"CUDA graphs are {'used' if better else 'not used'} by runs on a {gpu} from now on; {GRAPHS}=0 or 1 says otherwise")
    return better


def _gain(eager: Mapping[str, Any], note: Mapping[str, Any], members: int) -> str:
    took = f"{note['seconds']:.1f} s"
    if "seconds" not in eager:
        return took
    alone = members * eager["seconds"]
    return f"{took}, one after another {alone:.1f} s ({alone / note['seconds']:.1f} x)"


def hearing(split: Split, gpu: Gpu) -> Hear:
    """Make the function that times a network in a worker on the first GPU."""
    sources, stage, short = discover().sources["bench.models"], split.stages["final"], PROFILES["short"]
    context = {"epochs": short.epochs, "history": short.history, "rows": short.rows, **split.context}
    data = {"train": stage.train, "inputs": stage.parts[0], "truth": split.truths["final"].y}

    def hear(name: str) -> Iterator[Mapping[str, Any]]:
        executor = LocalExecutor(0, "cpu", scratch_folder(), places=placed("cuda:0", 1, 1, (gpu,), 1))
        try:
            arguments = {"source": sources[name], "context": {**context, "device": "cuda:0"}, "members": MEMBERS, **data}
            request = Call("bench.runs.gpu_ways:time_ways", arguments)
            executor.submit(0, request, Limits(SECONDS, memory_mb() / 2), runtime="torch")
            yield from _notes(executor)
        finally:
            executor.close()

    return hear


def _notes(executor: LocalExecutor) -> Iterator[Mapping[str, Any]]:
    while True:
        for answer in executor.collect(1.0):
            if isinstance(answer, Note):
                yield answer.content
            elif isinstance(answer, Done):
                if answer.result.status != "ok":
                    yield {"way": "ended", "reason": f"{answer.result.status}: {answer.result.reason}"}
                return


def time_ways(
    source: Source, context: Mapping[str, Any], members: Sequence[int], train: Any, inputs: Any, truth: Any, tell: Callable[[Any], None]
) -> None:
    """Fit a network as ever, with CUDA graphs, and several as one program; `tell` what each took. Runs in a worker."""
    kind, ctx = models(source)[source.name], Context(**context)
    default = default_of(kind, "churn")
    for way, switch in (("eager", "0"), ("graphs", "1")):
        model = kind(default)

        def alone() -> None:
            nonlocal model
            model = kind(default)
            model.fit(train, ctx)

        took, reason = _timed(alone, switch, REPEATS)
        tell({"way": way, "seconds": took, "auc": _auc(truth, model.predict(inputs, ctx)), "reason": reason})
    for count in members:
        for way, switch in ((f"{count} fused", "0"), (f"{count} fused, CUDA graphs", "1")):
            try:
                took, reason = _timed(partial(_fused, kind, default, train, ctx, count), switch, 1)
            except (BenchError, RuntimeError) as error:  # they are not one program, or memory does not suffice: the report says so
                took, reason = 0.0, " ".join(str(error).split())[:300]
            tell({"way": way, "members": count, "seconds": took, "reason": reason})


def _timed(fit: Callable[[], None], switch: str, repeats: int) -> tuple[float, str]:
    """Return the seconds of the quickest of several fits, and what they warned of: that there are no graphs, or no memory for all."""
    os.environ[GRAPHS], took = switch, []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RuntimeWarning)
        for _ in range(repeats):
            began = time.perf_counter()
            fit()
            took.append(time.perf_counter() - began)
    return min(took), next((str(each.message) for each in said if issubclass(each.category, RuntimeWarning)), "")


def _fused(kind: Any, default: Mapping[str, Any], train: Any, ctx: Context, count: int) -> None:
    """Fit so many as one program."""
    # needs torch, which only the worker may load
    from bench.neural.together import fit_together

    for ended in fit_together([kind(default) for _ in range(count)], train, [replace(ctx, seed=k) for k in range(count)]):
        if ended.error is not None:
            raise ended.error


def _auc(truth: Any, predicted: Any) -> float:
    # takes a second, and every run imports this module
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, predicted))
