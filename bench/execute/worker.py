"""The worker: a process of its own that loads plugins and runs jobs, one at a time, until its supervisor hangs up.

It is told what it needs over a pipe; it answers in JSON, and leaves predictions as files in its slot's folder. Where a
stage has several parts, it gets the next one only when the supervisor has taken what it predicted for the one before.
"""

from __future__ import annotations

import errno
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.data.payload import Payload
from bench.execute.describe_plugin import describe
from bench.execute.job_isolation import left_behind, restored
from bench.execute.messages import Apply, Call, Describe, Fit, Order, StageData
from bench.execute.process_tree import shield
from bench.execute.rungs import RungWatch, TrainingPrunedError

Reply = Callable[[Mapping[str, Any]], None]
REPORTS_A_SECOND = 5
MOST_CURVE = 200
"""Points of what a fit reported that go into its result."""
WIND_DOWN = 0.9
"""Share of a job's seconds after which a model that asks is told to stop, so that it can still predict."""


GPU_FULL = ("CUDA out of memory", "CUDA error: out of memory", "OOM when allocating tensor", "CUBLAS_STATUS_ALLOC_FAILED")
"""How torch and TensorFlow say that a GPU's memory, or a job's share of it, does not suffice."""
SLACK, WIDEST = 100_000, 512
"""Numbers that any prediction may have, and that one row of a task without panels may have."""


class OversizedError(Exception):
    """Report a prediction that is not written because of its size."""


def main() -> None:
    """Serve jobs over the inherited descriptor until end of file."""
    shield()
    # Ctrl-C is for the supervisor: struck by it too, a job would be a failed trial
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    stages: dict[str, KeptStage] = {}
    worker = os.getpid()

    def reply(message: Mapping[str, Any]) -> None:
        if os.getpid() != worker:
            os._exit(1)  # a plugin forked, and its child came back to here: two must not answer for one
        connection.send_bytes(json.dumps(message).encode())

    while True:
        try:
            message: StageData | Order = connection.recv()
            if isinstance(message, StageData):
                # one alone: a final fit's labels are the validation's truth, and must not lie beside a search job
                stages = {}  # gone before the next one comes: there may not be room for both
                gc.collect()  # what a failed job left in reference cycles is of the stage before
                payload = Payload.receive_buffers(message.head, message.sizes, connection.fileno())
                stages = {message.digest: KeptStage(payload, message.once)}
                continue
        except (EOFError, OSError):
            return
        try:
            answer = handle(message, stages, reply, connection.recv_bytes)
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises, SystemExit too, ends as an answer
            with suppress(Exception):  # a plugin may have closed the streams
                traceback.print_exc()
            answer = failure(error)
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        loaded = [name for name in ("torch", "tensorflow") if name in sys.modules]
        reply({"event": "done", "loaded": loaded, "spoilt": left_behind(), **answer})


def handle(order: Order, stages: MutableMapping[str, KeptStage], reply: Reply, receive: Callable[[], bytes]) -> dict[str, Any]:
    """Do what is asked; return the last message's own fields."""
    match order.request:
        case Describe(source, name):
            known = len(sys.modules)
            found = describe(source, name)
            _freeze_new_modules(known)
            return found
        case Fit() as fit:
            return run(fit, order, handed_out(stages, order.digest), reply, receive)
        case Apply() as request:
            return apply(request, order, handed_out(stages, order.digest), reply)
        case Call(target, arguments):
            module, _, name = target.partition(":")
            getattr(importlib.import_module(module), name)(**arguments, tell=lambda note: reply({"event": "note", "content": note}))
            return {"status": "ok"}


def failure(error: BaseException) -> dict[str, Any]:
    """Turn an exception into status and one line of reason."""
    from bench.errors import BenchError
    from bench.registry import MissingDependencyError

    words = " ".join(str(error).split())
    reason = words if isinstance(error, BenchError | OversizedError) else f"{type(error).__name__}: {words}".rstrip(": ")
    signs = (*GPU_FULL, "can't allocate memory")
    out_of_memory = isinstance(error, MemoryError) or "out of memory" in words.lower() or any(sign in words for sign in signs)
    status = "skipped" if isinstance(error, MissingDependencyError) else "oom" if out_of_memory else "failed"
    status = "invalid" if isinstance(error, OversizedError) else status
    disk_full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    gpu_full = any(sign in words for sign in GPU_FULL)
    fault = gpu_full or "CUDA" in words
    return {"status": status, "reason": reason[:500], "fault": fault, "again": disk_full, "gpu_full": gpu_full}


@dataclass(frozen=True)
class KeptStage:
    """A stage that the worker was sent."""

    payload: Payload
    once: bool


def handed_out(stages: MutableMapping[str, KeptStage], digest: str) -> Callable[[], Any]:
    """Return what makes a job's inputs: of a copy, so that whatever a plugin does to them the next job gets them whole.

    A stage that serves one job is given away itself.
    """
    kept = stages[digest]
    if not kept.once:
        return kept.payload.read
    del stages[digest]
    return kept.payload.taken


def run(fit: Fit, order: Order, stage: Callable[[], Any], reply: Reply, receive: Callable[[], bytes]) -> dict[str, Any]:
    """Fit once and predict each part; predictions are left as files in the folder that the order names."""
    from bench.execute.gpu_memory import limit_gpu_memory
    from bench.execute.mean_of import KEY, make

    model_class = _model_class(fit)
    limit_gpu_memory(model_class.runtime if fit.device.startswith("cuda") else "none", order.gpu_mb)
    train, inputs = stage()
    del stage  # what it made them of may be all that they are
    seed_all(fit.seed)
    reset_peak_memory()
    reply({"event": "start"})
    stopped: list[bool] = []
    curve: list[list[float]] = []
    watch = RungWatch(fit.rungs)
    # what a fit that is kept costs, and a mean of several, is nobody's to compare
    followed = None if fit.save or KEY in fit.params else watch.observe
    ctx = replace(_context(fit, order.seconds, _throttled(reply, curve), stopped), on_epoch=followed)
    with restored():
        began = time.perf_counter()
        taken = {fit.fitted: Path(fit.saved)} if fit.saved else {}
        model = make(model_class, fit.params, lambda: seed_all(fit.seed), taken)
        with suppress(TrainingPrunedError):
            model.fit(train, ctx)
        fit_seconds = time.perf_counter() - began
        del train
        if watch.pruned:
            seconds = {"fit_seconds": fit_seconds, "peak_memory_mb": peak_memory_mb()}
            return {"status": "pruned", "reason": watch.pruned, **seconds, **watch.record}
        predict_seconds = 0.0
        for part in range(order.parts):
            if part:
                reply({"event": "predicted", "part": part - 1})
                inputs = Payload.from_bytes(receive()).read()
            predict_seconds += _predict(model, inputs, ctx, Path(order.folder), part)
        unsaved = _save(model, Path(order.folder)) if fit.save else ""
    costs = {"fit_seconds": fit_seconds, "predict_seconds": predict_seconds, "peak_memory_mb": peak_memory_mb()}
    points = curve[:: -(-len(curve) // MOST_CURVE) or 1]
    return {"status": "ok", **costs, "cut_short": bool(stopped), "curve": points, "unsaved": unsaved, **watch.record}


def apply(request: Apply, order: Order, stage: Callable[[], Any], reply: Reply) -> dict[str, Any]:
    """Load what a final fit saved, and predict one part or ask what it shows; a local model, which learns as it predicts, is not loaded."""
    from bench.execute.mean_of import make

    model_class = _model_class(request)
    _, inputs = stage()
    seed_all(request.seed)
    reply({"event": "start"})
    ctx = _context(request, order.seconds, _throttled(reply, []), [])
    model = make(model_class, request.params)
    if request.saved:
        model.load(Path(request.saved))
    if request.insight:
        began = time.perf_counter()
        _leave_insight(model, inputs, ctx, Path(order.folder))
        return {"status": "ok", "predict_seconds": time.perf_counter() - began, "peak_memory_mb": peak_memory_mb()}
    predict_seconds = _predict(model, inputs, ctx, Path(order.folder), 0)
    if request.explain and hasattr(model, "contributions"):
        _write_arrays(model.contributions(inputs), Path(order.folder), 0, SLACK + 2 * len(inputs) * WIDEST, "contributions")
    return {"status": "ok", "predict_seconds": predict_seconds, "peak_memory_mb": peak_memory_mb()}


def _model_class(request: Fit | Apply) -> Any:
    from bench.registry import models

    known = len(sys.modules)
    model_class = models(request.source)[request.name]
    _freeze_new_modules(known)
    return model_class


def _freeze_new_modules(known: int) -> None:
    """Take modules loaded since there were `known` out of what the collector looks through at each stage: they are many, and stay."""
    if len(sys.modules) > known:
        gc.collect()  # first what jobs left: nothing that is frozen is ever collected
        gc.freeze()


def _predict(model: Any, inputs: Any, ctx: Any, folder: Path, part: int) -> float:
    """Predict one part, leave its arrays as files, and return how many seconds the model took."""
    began = time.perf_counter()
    prediction = model.predict(inputs, ctx)
    seconds = time.perf_counter() - began
    _write_arrays(prediction, folder, part, max_numbers(inputs, ctx.quantiles))
    return seconds


def model_deadline(seconds: float) -> float:
    """Return when a model that asks is told to stop, on the monotonic clock: the job's own deadline leaves it time to predict."""
    return time.monotonic() + WIND_DOWN * seconds


def _context(request: Fit | Apply, seconds: float, report: Callable[[int, float], None], stopped: list[bool]) -> Any:
    from bench.api import Context

    return Context(
        seed=request.seed,
        device=request.device,
        threads=1,
        deadline=model_deadline(seconds),
        on_report=report,
        on_stop=lambda: stopped.append(True),
        **request.context,
    )


def _save(model: Any, folder: Path) -> str:
    """Let a model write what it learnt; give the reason where it cannot: its scores stand, `bench predict` cannot use it."""
    target = folder / "model"
    target.mkdir()
    try:
        model.save(target)
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is its reason
        traceback.print_exc()
        return str(failure(error)["reason"]) or type(error).__name__
    return ""


def max_numbers(inputs: Any, quantiles: Sequence[float]) -> int:
    """Return how many numbers a prediction may have: more than any that is of the right shape, which is checked outside."""
    from bench.data.panel import Panel

    each = max(inputs.steps, inputs.horizon * (1 + len(quantiles))) if isinstance(inputs, Panel) else WIDEST
    return SLACK + 2 * len(inputs) * each


def _write_arrays(prediction: Any, folder: Path, part: int, most: int, array_name: str = "prediction") -> None:
    """Write the arrays of one prediction, a file each, `part-N.NAME.npy`; nothing where together they have more than `most` numbers."""
    import numpy as np

    from bench.data.panel import Forecast
    from bench.data.ranking import Ranking

    arrays = prediction.arrays() if isinstance(prediction, Forecast | Ranking) else {array_name: np.asarray(prediction)}
    _write(arrays, folder, part, most, "predict")


def _leave_insight(model: Any, inputs: Any, ctx: Any, folder: Path) -> None:
    """Ask a model what it shows of itself and write it; of a mean of several configurations the first is asked."""
    import numpy as np

    from bench.execute.mean_of import first

    found = first(model).insight(inputs, ctx)
    if not isinstance(found, Mapping) or not all(isinstance(name, str) and name.isidentifier() for name in found):
        raise TypeError(f"insight returned {type(found).__name__}, expected a dict of arrays by name")
    steps = getattr(inputs, "offsets", (0,))[-1]
    _write({name: np.asarray(array) for name, array in found.items()}, folder, 0, SLACK + len(inputs) * WIDEST + 2 * int(steps), "insight")


def _write(arrays: Mapping[str, Any], folder: Path, part: int, most: int, said_by: str) -> None:
    import numpy as np

    for array in arrays.values():
        if array.dtype.hasobject:
            raise TypeError(f"{said_by} returned an array of {array.dtype}, expected floats")
    # a broadcast array takes no memory here, but all of its size on the disk
    if sum(array.nbytes for array in arrays.values()) > most * np.dtype(np.float64).itemsize:
        shapes = ", ".join(f"{name} of shape {list(array.shape)}, {array.dtype}" for name, array in arrays.items())
        raise OversizedError(f"{said_by} returned {shapes}; expected at most {most:,} numbers")
    for name, array in arrays.items():
        np.save(folder / f"part-{part}.{name}.npy", array, allow_pickle=False)


def seed_all(seed: int) -> None:
    """Seed the global generators, for plugins that draw from them: a job must not depend on the jobs before it."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global generator is the point
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(seed)


def reset_peak_memory() -> None:
    """Start a new peak for this job, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_mb() -> float:
    """Read the peak resident memory since the last reset; elsewhere than on Linux, of the process's whole life."""
    import resource

    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def _throttled(reply: Reply, curve: list[list[float]]) -> Callable[[int, float], None]:
    """Pass on a few reports a second, and note all of them in `curve`; steps that begin anew begin it anew: a second training."""
    last = [0.0]

    def report(step: int, value: float) -> None:
        if curve and step <= curve[-1][0]:
            curve.clear()
        curve.append([int(step), float(value)])
        if time.monotonic() - last[0] > 1 / REPORTS_A_SECOND:
            last[0] = time.monotonic()
            reply({"event": "report", "step": int(step), "value": float(value)})

    return report


if __name__ == "__main__":
    os.environ.pop("PWD", None)
    main()
