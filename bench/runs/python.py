"""The Python API: run, predict and load, with arguments as people write them and errors that speak of these."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.board import Board
from bench.errors import BenchError, ConfigError, suggest
from bench.runs.arguments import configurations, parts, types
from bench.runs.results import RunBoard
from bench.runs.run_events import Listener, ignore

if TYPE_CHECKING:
    import polars as pl

    from bench.api import Model

Names: TypeAlias = "str | Path | Sequence[str | Path]"
"""One name, several with commas between, or a list."""


def run(
    task: str | Sequence[str],
    data: Any = None,
    *,
    user: str | None = None,
    time: str | None = None,
    kind: str | None = None,
    value: str | None = None,
    item: str | None = None,
    time_unit: str | None = None,
    zone: str | None = None,
    entity: str | None = None,
    channels: str | None = None,
    label: str | None = None,
    name: str | None = None,
    datasets: Names | None = None,
    source: str | Path | None = None,
    models: str | type[Model] | Sequence[str | type[Model]] | None = None,
    horizon: str | int | None = None,
    metric: str | None = None,
    sampler: str | None = None,
    params: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    profile: str | None = None,
    time_limit: str | float | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    executor: str | None = None,
    address: str | None = None,
    device: str | None = None,
    jobs_per_gpu: int | None = None,
    sandbox: str | None = None,
    job_seconds: float | None = None,
    job_memory: float | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    portfolio: bool = True,
    prune: bool = False,
    plugins: Names | None = None,
    plugins_dirs: Names | None = None,
    listen: Listener = ignore,
    **more: Any,
) -> RunBoard:
    """Tune every model fairly on every data set and return the leaderboard; what `bench run` does.

    What to run on (without any of these: the simulators and the registered data sets):
        task: `churn`, `forecasting`, `anomaly`, or several of them: their boards stand side by side in what is returned.
        data: your own log, one row an event: a frame (pandas, polars, lazy too, Arrow) or a file; or series as `unique_id, ds, y`.
        user, time, kind, value, item: its columns; the usual names are guessed. time_unit, zone: how its times are read.
        entity, channels, label: columns of your own series: who, several values a step (with commas, or all), 0 and 1 in an anomaly.
        name: what boards call it (default: the file's name, or "data").
        datasets: adapters with a path (`retail=sales.csv`), without one (their simulators), or registered names. source: a path
            for the one adapter given.

    What to compare:
        models: names, or classes that inherit `bench.Model`; default: all that serve the task.
        horizon: `28d` for churn, steps (`14`) for forecasting; default: read off the data.
        metric: what ranks and steers the search, of the task's proper metrics (`bench list metrics`). sampler: who proposes trials
            after the first four: `tpe` (default), or a plugin's (`random`, `sobol`).
        options, and further keyword arguments: options of the task (`eligible="ever"`, `level="user"`; see `bench list tasks`),
            and `{"ADAPTER.KEY": value}`.
        params, space: parameters that are fixed (`{"lstm": {"hidden": 64}}`), ranges that are narrowed (`{"lstm": {"hidden": (32, 96)}}`).
        plugins, plugins_dirs: files and folders of plugins.

    How long it may take:
        profile: `smoke`, `short` (default), `medium` or `full`: how much of everything. time_limit: of the whole run, in seconds or as
            `30m`; its cells share it. trials, seeds, minutes: the budget of each cell. seed: the base of all seeds. portfolio:
            whether a search begins with configurations that did well on other logs. prune: whether trainings that are far behind
            are stopped early. workers: processes, of each node.
            executor: `local`, or `ray`: the nodes of the cluster at `address`. device: `auto`, `cpu`, `cuda`,
            `cuda:0,2`; jobs_per_gpu: how many share one. sandbox: `auto`, `on`, `off`: whether models are confined to their
            inputs. job_seconds, job_memory (GB): bounds on one fit.

    Where it goes:
        out: the run folder; the same arguments find theirs again and continue there. overwrite: move a run aside that is in the
            way. listen: called with each of `bench.runs.run_events`.

    Raises `BenchError` for what the caller can mend; a model that fails is a row, not an error.

    >>> board = bench.run("churn", frame, user="customer", models=["rfm-logit", "lstm"], horizon="28d")  # doctest: +SKIP
    """
    from bench.runs.runner import execute

    given = {key: value for key, value in locals().items() if key in types()}
    with errors_about_arguments(data):
        if not task:
            raise ConfigError(f"task={task!r} names none; give churn, forecasting or anomaly, or several of them")
        given["models"], files = _models(models)
        given["plugins"] = [*_listed(plugins), *files]
        given["options"] = _options(
            {"horizon": horizon, "metric": metric}, options or {}, more, known_options() | (set(more) if plugins or plugins_dirs else set())
        )
        boards = [execute(config, listen) for config in configurations(given)]
    if len(boards) == 1:
        return RunBoard(boards[0].arrow, boards[0].path)
    import pyarrow as pa

    return RunBoard(pa.concat_tables([board.arrow for board in boards]))


def predict(
    run: str | Path | Board,
    data: Any,
    *,
    cutoff: str | date | None = None,
    model: str = "",
    dataset: str = "",
    family: str = "",
    everybody: bool = False,
    explain: bool = False,
    sandbox: str = "auto",
    options: Mapping[str, Any] | None = None,
    **columns: str,
) -> pl.DataFrame:
    """Score new users, forecast on or flag anomalies with the winner of a run, or a named model of it.

    Arguments:
        run: the run's folder, or its board.
        data: a frame, a path (read as the run's data was) or `ADAPTER=PATH`.
        cutoff: nothing from this moment on is known (default: the data's end).
        model, dataset, family: which model of the run, and which of its boards where it has several.
        everybody: keep users that cannot be asked about, with the `reason`. explain: add the three strongest `reasons` of each
            user's P(churn), in words. sandbox: confine models to what they are asked: `auto` (where possible), `on`, `off`.
        options: of the task, where new data may have its own (`{"freq": "D"}`). columns: `user="customer"`, `time=...` and the
            others that `bench.run` takes.

    Returns one row a user (`user, cutoff, horizon_days, p_churn, model`), a series and step (`unique_id, ds, mean, q0.1, ...`), or
    an entity and step (`entity, time, score, threshold, alarm`). Raises `RunFolderError` where the run cannot serve, `DataError`
    for data of another kind.
    """
    from bench.runs import predict as on_new_data
    from bench.runs.config import OWN_FILE, OWN_SERIES

    folder = run.path if isinstance(run, Board) else Path(run)
    if folder is None:
        raise ConfigError("the board was made of rows, not read from a run folder; give the run's folder")
    for key in columns:
        if key not in (known := (*OWN_FILE, *OWN_SERIES)):
            raise ConfigError(f"unknown argument {key!r}; {suggest(key, ['cutoff', 'model', 'dataset', 'family', 'options', *known])}")
    spelt = {key: str(value) for key, value in (options or {}).items()}
    with errors_about_arguments(data):
        return on_new_data.predict(
            folder,
            data,
            model=model,
            dataset=dataset,
            family=family,
            cutoff=cutoff,
            everybody=everybody,
            columns=columns,
            options=spelt,
            explain=explain,
            sandbox=sandbox,
        )


def load(run: str | Path) -> RunBoard:
    """Read the board of a finished run from its folder; raise `RunFolderError` where there is none."""
    return RunBoard(Board.read(run).arrow, Path(run))


@contextmanager
def errors_about_arguments(data: Any) -> Iterator[None]:
    """Let errors speak of arguments, not of options of the command line, and of `data`, not of the file that a frame is kept in."""
    try:
        yield
    except BenchError as error:
        words = as_arguments(str(error))
        if not isinstance(data, str | Path):
            from bench.sources.load import FRAMES

            words = re.sub(rf"\S*/{FRAMES}/[0-9a-f]+/[^/]*\.parquet", "data", words)
        raise type(error)(words) from error


PLURAL = {"dataset": "datasets", "model": "models", "plugin": "plugins", "plugins-dir": "plugins_dirs"}


def as_arguments(words: str) -> str:
    """Write `--user COLUMN` as `user=COLUMN`, `--trials 0` as `trials 0`, and leave `--set` out."""
    words = re.sub(r"--set (?=[\w.]+=|\w)", "", words)
    named = re.sub(r"--([a-z][a-z-]*) (?=[A-Z]{2,}\b)", lambda m: f"{PLURAL.get(m[1], m[1]).replace('-', '_')}=", words)
    return re.sub(r"--([a-z][a-z-]*)", lambda m: PLURAL.get(m[1], m[1]).replace("-", "_"), named)


def _models(given: Any) -> tuple[list[Any], list[str]]:
    """Return names, and the plugin files of classes."""
    from bench.api import Model
    from bench.runs.model_classes import plugin_file

    if given is not None and not _listed(given):
        raise ConfigError(f"models={given!r} names no model; leave it out for all that serve the task")
    names: list[Any] = []
    files: list[str] = []
    for one in _listed(given):
        if isinstance(one, type) and issubclass(one, Model):
            files.append(str(plugin_file(one)))
            names.append(one.name)
        elif isinstance(one, type):
            raise ConfigError(f"models: class {one.__name__} does not inherit bench.Model; see bench plugin new")
        else:
            names += parts(one)
    return names, files


def _listed(given: Any) -> list[Any]:
    return [] if given is None else [given] if isinstance(given, str | Path | type) or not isinstance(given, Sequence) else list(given)


def known_options() -> set[str]:
    """Return the options of the installed tasks; a task from a file may have others."""
    from bench.tasks.lookup import NAMES, task_named

    found: set[str] = set()
    for name in NAMES:
        with suppress(BenchError):  # a task that cannot be loaded is named where it is asked for
            found |= set(task_named(name).options)
    return found


def _options(named: Mapping[str, Any], options: Mapping[str, Any], more: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Gather the options of the task; raise `ConfigError` for a keyword that is neither an argument nor an option of any task."""
    if not isinstance(options, Mapping):
        raise ConfigError(f"options={options!r} is not keys with a value each")
    for key in more:
        if key not in known:
            raise ConfigError(f"unknown argument {key!r}; {suggest(key, [*types(), *sorted(known)])}")
    return {**options, **more, **{key: value for key, value in named.items() if value is not None}}
