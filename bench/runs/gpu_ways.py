"""What a training gains on a GPU by CUDA graphs, and several of one shape by being one program; `bench doctor --gpu` tells it.

Whether graphs gain decides what a run begins with. Fused fits are timed for the report alone: no run makes any (docs/guides/gpu.md).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from bench.api import Context
from bench.errors import BenchError
from bench.execute.gpus import Gpu
from bench.execute.jobs import Limits
from bench.execute.local import LocalExecutor
from bench.execute.machine import memory_mb
from bench.execute.messages import Call, Done, Note
from bench.execute.placement import placed
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
        reason = eager.get("reason") or graphs.get("reason") or ("" if eager and graphs else "it was not timed")
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
            if way.isdigit():
                say(f"{name:15} {way:>2} fused: " + (note.get("reason") or _gain(eager, note, int(way))))
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
        executor = LocalExecutor(0, "cpu", Path(tempfile.mkdtemp(prefix="bench-")), places=placed("cuda:0", 1, 1, (gpu,), 1))
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
                    yield {"way": "eager", "reason": f"{answer.result.status}: {answer.result.reason}"}
                return


def time_ways(
    source: Source, context: Mapping[str, Any], members: Sequence[int], train: Any, inputs: Any, truth: Any, tell: Callable[[Any], None]
) -> None:
    """Fit a network as ever, with CUDA graphs, and several as one program; `tell` what each took. Runs in a worker."""
    kind, ctx = models(source)[source.name], Context(**context)
    default = default_of(kind, "churn")
    for way, switch in (("eager", "0"), ("graphs", "1")):
        os.environ[GRAPHS] = switch
        model, took = kind(default), []
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", RuntimeWarning)
            for _ in range(REPEATS):
                model, began = kind(default), time.perf_counter()
                model.fit(train, ctx)
                took.append(time.perf_counter() - began)
        reason = next((str(each.message) for each in said if issubclass(each.category, RuntimeWarning)), "")
        tell({"way": way, "seconds": min(took), "auc": _auc(truth, model.predict(inputs, ctx)), "reason": reason})
    for count in members:
        tell({"way": str(count), **_fused(kind, default, train, ctx, count)})


def _fused(kind: Any, default: Mapping[str, Any], train: Any, ctx: Context, count: int) -> dict[str, Any]:
    """Fit so many as one program, eager and with CUDA graphs; return what the quicker took, or why there is none."""
    # needs torch, which only the worker may load
    from bench.neural.together import fit_together

    took, reason = [], ""
    for switch in ("0", "1"):
        os.environ[GRAPHS] = switch
        began = time.perf_counter()
        try:
            ended = fit_together([kind(default) for _ in range(count)], train, [replace(ctx, seed=k) for k in range(count)])
        except (BenchError, RuntimeError) as error:  # not one program, or no memory for it: the report says so
            reason = " ".join(str(error).split())[:300]
            continue
        reason = next((str(each.error) for each in ended if each.error is not None), reason)
        took.append(time.perf_counter() - began)
    return {"seconds": min(took), "reason": ""} if took and not reason else {"reason": reason or "not timed"}


def _auc(truth: Any, predicted: Any) -> float:
    # takes a second, and every run imports this module
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, predicted))
