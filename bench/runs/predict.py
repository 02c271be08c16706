"""Put a run's winner to use: score new users, forecast on, or flag, with what its final fit saved."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.panel import Panel
from bench.data.ragged import Array
from bench.data.series import Series
from bench.errors import ConfigError, DataError, PluginError, suggest
from bench.execute.describe_plugins import Describer
from bench.execute.executor import Executor, wait_for
from bench.execute.jobs import Limits
from bench.execute.local import LocalExecutor
from bench.execute.machine import memory_mb
from bench.execute.messages import Apply
from bench.execute.process_tree import scratch_folder
from bench.execute.sandbox import Sandbox, chosen
from bench.execute.sandbox import words_of as lacking_confinement
from bench.registry import Registry, Source, discover
from bench.runs.check_prediction import part_of
from bench.runs.config import own_columns
from bench.runs.ensemble import combination
from bench.runs.explain import with_reasons
from bench.runs.saved_models import Fitted, answering, board_of, fits, run_document, words_of
from bench.sources.cache import cache_folder
from bench.sources.load import Request, cache_frame, holds_series, loaded
from bench.sources.registered import registered
from bench.tasks.base import Arrays, InferenceInputs, Prediction, Stage, Task, weighted
from bench.tasks.profiles import profile

SECONDS = 3600.0
"""Most that one model may take."""
EXPLAINS = 1_000_000_000
"""A ticket beyond all others."""


@dataclass(frozen=True)
class Answer:
    """What a run's models say of new data."""

    frame: pl.DataFrame
    about: tuple[str, ...]
    """Sentences: who answered, of which board, for which horizon and cut-off; how many were left out, and why."""


def predict(
    run: Path | str,
    data: Any,
    *,
    model: str = "",
    dataset: str = "",
    family: str = "",
    cutoff: str | date | None = None,
    everybody: bool = False,
    columns: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    explain: bool = False,
    sandbox: str = "auto",
) -> pl.DataFrame:
    """Predict on new data with the winner of a run, or a named model; see `bench predict`.

    `data`: a path, ADAPTER=PATH or a frame (pandas, polars, Arrow); a path is read by the run's own adapter. `family`: of an
    anomaly run, the family whose board is asked; the first by default. `cutoff`: the moment from which on nothing is known
    (default: the data's end). `everybody`: keep those who cannot be asked about, with the reason. `columns`: user, time, kind,
    value, item of an own log, by its names. `explain`: add the three strongest `reasons` of each user's P(churn), in words.
    `sandbox`: confine models to what they are asked: auto (where possible), on, off.
    Returns one row a user (`user, cutoff, horizon_days, p_churn, model`), a series and
    step (`unique_id, ds, mean, q0.1, ..., model`), or an entity and step (`entity, time, score, threshold, alarm, model`).
    Raises `RunFolderError` where the run cannot serve, `DataError` for data of another kind.
    """
    return answered(
        run,
        data,
        model=model,
        dataset=dataset,
        family=family,
        cutoff=cutoff,
        everybody=everybody,
        columns=columns,
        options=options,
        explain=explain,
        sandbox=sandbox,
    ).frame


def answered(
    run: Path | str,
    data: Any,
    *,
    model: str,
    dataset: str,
    family: str,
    cutoff: str | date | None,
    everybody: bool,
    columns: Mapping[str, str] | None,
    options: Mapping[str, str] | None,
    explain: bool = False,
    sandbox: str = "auto",
) -> Answer:
    """Predict as `predict` does; also say in words who answered what."""
    folder = Path(run)
    document = run_document(folder)
    config, caps = document["config"], profile(document["config"]["profile"])
    registry = discover(config["plugins"], config["plugins_dirs"])
    board, task = board_of(document, dataset, family), registry.task(config["task"])
    fitted = fits(folder, board, model)
    named_by, columns = own_columns(columns or {})
    request = _request(data, board, columns, named_by)
    own, theirs = _options(_with_cutoff(options or {}, cutoff, task), config, task, request.adapter)
    new = loaded(request, registry, {**theirs, **columns}, size=caps.users, seed=config["seed"]).data
    asked = task.inference_inputs(new if "cutoff" in task.settable else until(new, cutoff), board, own, caps)
    context = {"epochs": caps.epochs, "history": caps.history, "rows": caps.rows, **asked.split.context}
    hidden = [folder, cache_folder().parent, *([request.path] if request.path is not None else [])]
    confined = chosen(sandbox, hidden)
    with _executor(confined) as executor:
        sources = _sources([one.model for one in fitted], registry, executor)
        ask = partial(_blended_answer, fitted, sources, task, context, executor, itertools.count())
        whole = ask(asked)
        if explain:
            shares = _shares(fitted, sources, asked, context, executor)
            asked = with_reasons(new, asked, whole, ask, shares, caps.history)
    frame = task.answer_frame(asked, whole).with_columns(model=pl.lit(answering(fitted)))
    unsafe = lacking_confinement(confined, sandbox)
    about = (f"{words_of(document, board, fitted)}; {asked.about}", *_exclusion_words(asked, frame), *([unsafe] if unsafe else []))
    return Answer(_with_everybody(frame, asked) if everybody else frame, about)


def _blended_answer(
    fitted: Sequence[Fitted], sources: Mapping[str, Source], task: Task, context: Mapping[str, Any], executor: Executor,
    tickets: Iterator[int], asked: InferenceInputs,
) -> Arrays:  # fmt: skip
    """Ask all models that answer together, and combine them as their row does: the mean of each model's seeds first."""
    answers = [_answer(next(tickets), one, sources[one.model], asked, task, context, executor) for one in fitted]
    parts = [task.blendable(asked.split, "final", p) for p in answers] if len(answers) > 1 else answers
    seeds: dict[str, list[tuple[Prediction, float]]] = defaultdict(list)
    for prediction, one in zip(parts, fitted, strict=True):
        seeds[one.model].append((prediction, one.weight))
    totals = {model: sum(weight for _, weight in own) for model, own in seeds.items()}
    means = [(weighted([(p, weight / totals[model]) for p, weight in own]), totals[model]) for model, own in seeds.items()]
    return combination(answering(fitted), task)(means)[0]


def _shares(
    fitted: Sequence[Fitted], sources: Mapping[str, Source], asked: InferenceInputs, context: Mapping[str, Any], executor: Executor
) -> Array | None:
    """Ask a model that answers alone for exact shares of its log-odds; None where it has none, or several answer."""
    if len(fitted) > 1:
        return None
    one = fitted[0]
    params, seed, saved = dict(one.entry["params"]), one.entry["seed"], str(one.saved or "")
    request = Apply(sources[one.model], one.model, params, seed, dict(context), saved, explain=True)
    executor.submit(EXPLAINS, request, Limits(SECONDS, memory_mb() / 2), runtime="any", stage=asked.split.stages["final"])
    shares = part_of([wait_for(executor, EXPLAINS)], 0)[0].get("contributions")
    return None if shares is None else np.array(shares, np.float64)


def _exclusion_words(asked: InferenceInputs, frame: pl.DataFrame) -> list[str]:
    """Count those who are not asked about, by reason."""
    counts = Counter(asked.excluded.values())
    words = "; ".join(f"{n:,} not eligible: {reason}" for reason, n in counts.most_common())
    return [f"{len(frame):,} scored; {words}"] if words else []


def _with_everybody(frame: pl.DataFrame, asked: InferenceInputs) -> pl.DataFrame:
    """Add a row for each who is not asked about, without an answer, and a column `reason`."""
    reasons = {frame.columns[0]: list(asked.excluded), "reason": list(asked.excluded.values())}
    others = pl.DataFrame(reasons, schema_overrides=dict.fromkeys(reasons, pl.String))
    return pl.concat([frame.with_columns(reason=pl.lit("")), others], how="diagonal_relaxed")


def _with_cutoff(options: Mapping[str, str], cutoff: str | date | None, task: Task) -> Mapping[str, str]:
    return {**options, "cutoff": str(cutoff)} if cutoff is not None and "cutoff" in task.settable else options


def until(data: Events | Series, cutoff: str | date | None) -> Events | Series:
    """Forget what lies at or after a cut-off, as if the data had been read then; raise `DataError` where nothing is left."""
    if cutoff is None:
        return data
    try:
        moment = datetime.fromisoformat(str(cutoff))
    except ValueError:
        raise ConfigError(f"cutoff={str(cutoff)!r} is no day; write it as 2011-05-01") from None
    if data.frame["time"].null_count():
        raise DataError(f"{data.name}: its steps have no time, so no cut-off can be placed; leave it out")
    kept = data.frame.filter(pl.col("time") < (moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
    if kept.is_empty():
        raise DataError(f"{data.name}: nothing lies before the cut-off {cutoff}; give a later one")
    return replace(data, frame=kept)


def _request(data: Any, board: Mapping[str, Any], columns: Mapping[str, str], named_by: str) -> Request:
    """Describe who reads the data: `named_by` where columns are named; what a registered set was told holds for new data too."""
    if not isinstance(data, str | Path):
        return Request("series" if holds_series(data) else "events", cache_frame(data))
    adapter, equals, path = str(data).partition("=")
    if not equals or Path(data).expanduser().exists():
        adapter, path = named_by if columns else board["adapter"], str(data)
    if columns and adapter != named_by:
        raise ConfigError(f"--{next(iter(columns))} names a column of your own data, but {adapter!r} reads this; write --data FILE")
    found = Path(path).expanduser()
    if not path or not found.exists():
        raise DataError(f"{path or data}: no such file or folder")
    known = registered().get(board["name"])
    return Request(adapter, found, options=known.options if known is not None and known.adapter == adapter else {})


def _options(given: Mapping[str, str], config: Mapping[str, Any], task: Task, adapter: str) -> tuple[dict[str, str], dict[str, str]]:
    """Part the run's options and those given now, which win, into the task's and the adapter's; refuse what a run has settled."""
    settable, run = task.settable, config["options"]
    own = {key: value for key, value in run.items() if key in task.options}
    theirs = {key.partition(".")[2]: value for key, value in run.items() if key.startswith(f"{adapter}.")}
    for key, value in given.items():
        name, dot, rest = key.partition(".")
        if dot and name != adapter:
            raise ConfigError(f"--set {key}: {adapter!r} reads this data; write --set {adapter}.{rest}={value}, or leave it out")
        if not dot and key not in settable and key in task.options and own.get(key) != value:
            raise ConfigError(
                f"--set {key}={value}: the run has settled {key}, its models know no other; leave it out, or run again with it"
            )
        if not dot and key not in (*settable, *task.options):
            raise ConfigError(f"unknown option --set {key}={value}; {suggest(key, [*settable, f'{adapter}.KEY'])}")
        (theirs if dot else own)[rest if dot else key] = value
    return own, theirs


@contextmanager
def _executor(sandbox: Sandbox | None) -> Iterator[Executor]:
    executor = LocalExecutor(1, "cpu", scratch_folder(), sandbox)
    try:
        yield executor
    finally:
        executor.close()


def _sources(models: Sequence[str], registry: Registry, executor: Executor) -> dict[str, Source]:
    """Find where each model's code lies; a file is asked in a worker what it offers."""
    found = {name: source for name, source in registry.sources["bench.models"].items() if name in models}
    if lacking := [name for name in models if name not in found]:
        offered = Describer(executor, registry.files, memory_mb() / 2).finish()[0]
        found |= {plugin.name: plugin.source for plugin in offered if plugin.name in lacking and plugin.status == "ok"}
    for name in lacking:
        if name not in found:
            raise PluginError(f"model {name!r} is not installed here; install the plugin that brought it")
    return found


def _answer(
    ticket: int, fitted: Fitted, source: Source, asked: InferenceInputs, task: Task, context: Mapping[str, Any], executor: Executor
) -> Prediction:
    """Ask one model in a worker, check what it says and bring it into its final form."""
    params, seed = dict(fitted.entry["params"]), fitted.entry["seed"]
    request = Apply(source, fitted.model, params, seed, dict(context), str(fitted.saved or ""))
    results, stages = [], _stages(asked)
    for at, stage in enumerate(stages, ticket * len(stages)):
        executor.submit(at, request, Limits(SECONDS, memory_mb() / 2), runtime="any", stage=stage)
        results.append(wait_for(executor, at))
        if results[-1].status != "ok":
            raise PluginError(f"model {fitted.model!r} failed on the new data: {results[-1].reason}")
    arrays, reason = part_of(results, 0)
    if reason := reason or task.invalid(asked.split, "final", 0, arrays):
        raise PluginError(f"model {fitted.model!r} failed on the new data: {reason}")
    # copies: large arrays are mapped from files that go with the executor
    own = task.finished(asked.split, "final", [{k: np.array(v) for k, v in arrays.items()}], causal=fitted.causal).prediction
    own = (task.ahead(asked.split, "final", own) or own) if fitted.ahead else own
    return task.calibrated(own, fitted.calibration) if fitted.calibration else own


def _stages(asked: InferenceInputs) -> list[Stage]:
    """Return what is asked at once: all rows, or where series have different seasons, those of one after those of another."""
    whole, inputs = asked.split.stages["final"], asked.inputs
    if not isinstance(inputs, Panel) or inputs.seasons is None:
        return [whole]
    return [Stage((), (inputs.take(rows),)) for rows in inputs.alike(len(inputs))]
