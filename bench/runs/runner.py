"""One run, end to end: data, splits, plugins, cells, ledger, rows, board."""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import Sampler
from bench.data.events import Events
from bench.data.overview import overview
from bench.data.series import Series
from bench.errors import ConfigError, PluginError, RunFolderError, suggest
from bench.execute.describe_plugins import Describer
from bench.execute.devices import refuse_blind, resolved
from bench.execute.executor import Executor
from bench.execute.gpus import gpus
from bench.execute.job_sources import job_digest
from bench.execute.jobs import Limits, Plugin, bench_source
from bench.execute.local import LocalExecutor
from bench.execute.machine import cores, memory_mb
from bench.execute.placement import Place, placed
from bench.execute.process_tree import scratch_folder
from bench.execute.sandbox import chosen, words_of
from bench.registry import RESERVED, Registry, Source, discover, reserved_name_hint
from bench.runs import cost, time_limit, truth_seed
from bench.runs.cell import Cell
from bench.runs.config import Config, task_options
from bench.runs.feature_importance import Occlusion
from bench.runs.gpu_check import graphs_wanted, remembered
from bench.runs.problem import Problem
from bench.runs.run_events import DataReady, Listener, NodesChanged, Notice, Reading, RunReady, ignore
from bench.runs.run_folder import claim
from bench.runs.scheduler import Driver
from bench.runs.score_rows import now
from bench.runs.write_results import write_results
from bench.sources import pool
from bench.sources.cache import cache_folder
from bench.sources.load import Loaded, Request, loaded, requested
from bench.sources.read_progress import forwarded_progress
from bench.tasks.base import Task
from bench.tune.control import controlled
from bench.tune.ledger import Ledger
from bench.tune.plan import Budget, Outcome
from bench.tune.portfolio import portfolio
from bench.version import VERSION

if TYPE_CHECKING:
    from bench.board import Board


def execute(config: Config, listen: Listener = ignore) -> Board:
    """Run what a configuration asks for, in its run folder; the same configuration continues there."""
    config = config.checked()
    truth_seed.checked(config.options)
    claim(config)
    registry = discover(config.plugins, config.plugins_dirs)
    task: Task = registry.task(config.task)
    task_options(truth_seed.without(config.options), task.options, registry.names("bench.datasets"))
    requests = requested(config.datasets, config.source, registry, holds=task.holds)
    if config.name is not None:
        requests[-1] = replace(requests[-1], name=config.name)
    sources = _model_sources(config, registry)
    sampler = None if config.sampler == "tpe" else registry.sampler(config.sampler)
    limits = _limits(config)
    with _executor(config, [*requests], listen) as executor:
        describer = Describer(executor, sources, limits.memory_mb)
        if config.device.startswith("cuda"):
            refuse_blind(_serving(describer.finish()[0], config, registry), config.device)
        with forwarded_progress(lambda *far: listen(Reading(*far))):
            problems = list(_problems(requests, config, registry, task, listen))
        plugins = controlled(_serving(describer.finish()[0], config, registry), config.params, config.space)
        solved = [replace(problem, plugins=plugins) for problem in problems]
        with Ledger(config.folder()) as ledger, _folder_errors(ledger.folder):
            _write_run(ledger.folder, config, solved, task, finished=False)
            outcomes = _outcomes(solved, config, Driver(task, executor, ledger, limits, _budget(config, sampler), listen))
            occlusion = Occlusion(executor, limits.memory_mb, _caps(config))
            common = {"workers": executor.workers, "git_commit": git_commit()}
            board = write_results(ledger.folder, solved, outcomes, task, common, occlusion)
            _write_run(ledger.folder, config, solved, task, finished=True)
    return board


@contextlib.contextmanager
def _folder_errors(folder: Path) -> Iterator[None]:
    """Return which folder could not be written; the writers' own words often do not."""
    try:
        yield
    except OSError as error:
        words = " ".join(str(error.strerror or error).split())
        raise RunFolderError(
            f"run folder {folder}: {words}; what is finished is kept: make room and give the same command again"
        ) from error


def _problems(requests: Sequence[Request], config: Config, registry: Registry, task: Task, listen: Listener) -> Iterator[Problem]:
    """Read and split every data set, telling the listener of each; none is kept, and who takes part comes later."""
    own, others = task_options(truth_seed.without(config.options), task.options, registry.names("bench.datasets"))
    seed = truth_seed.seed_of(config)
    read: dict[str, str] = {}
    for data in _read(requests, config, registry, others, seed, together=pool.wanted(own.get(pool.OPTION))):
        _refuse_twin(data, read)
        read[data.name] = data.fingerprint
        about = overview(data.data)
        for at, split in enumerate(task.splits(replace(data.data, name=data.name), own, config.caps, seed, simulated=data.simulated)):
            words = (*(() if at else _words(data)), *split.notes)
            steers = split.columns.get("objective", split.ranking.metric)
            listen(DataReady(data.name, split.task_id, words, steers, split.ranking.higher))
            yield Problem(data.name, data.simulated, data.fingerprint, split, (), data.adapter.name, about)


def _read(
    requests: Sequence[Request],
    config: Config,
    registry: Registry,
    options: Mapping[str, Mapping[str, str]],
    seed: int,
    *,
    together: bool,
) -> Iterator[Loaded]:
    """Read one data set after the other; `seed`: of simulated data; `together`: all, as one."""
    each = (loaded(one, registry, options.get(one.adapter, {}), size=config.caps.users, seed=seed) for one in requests)
    if not together:
        yield from each
        return
    found: list[Loaded] = []
    for data in each:
        _refuse_twin(data, {other.name: other.fingerprint for other in found})
        found.append(data)
    yield pool.pooled(found)


def _outcomes(problems: Sequence[Problem], config: Config, driver: Driver) -> Mapping[str, Outcome]:
    """Run all cells, one framework after the other: each worker then imports each framework at most once."""
    cells = [cell for problem in problems for cell in _cells(problem, config, driver.limits, driver.task)]
    cells.sort(key=lambda cell: ("none", "torch", "tensorflow").index(cell.plugin.runtime))
    names = tuple((c.dataset, c.plugin.name) for c in cells)
    workers = driver.executor.workers
    budget = driver.budget = _shared(driver.budget, config, workers, len(cells))
    words = _forecast_cost(config, cells, driver)
    driver.listen(RunReady(names, budget.trials, budget.seeds, workers, config.profile, str(driver.ledger.folder), words))
    try:
        return driver.run(cells)
    finally:
        if unkept := cost.remember(cells, driver.stored(cells)):
            driver.listen(Notice(unkept))


def _shared(budget: Budget, config: Config, workers: int, cells: int) -> Budget:
    """Share the run's time limit among its cells; minutes that were given too are a bound of their own."""
    if config.time_limit is None:
        return budget
    each = time_limit.share(time_limit.seconds_of(config.time_limit), workers, cells)
    return replace(budget, minutes=min(each, budget.minutes or each))


def _forecast_cost(config: Config, cells: Sequence[Cell], driver: Driver) -> tuple[str, ...]:
    """State before the run starts how its time is shared, and what it will cost as far as that is known."""
    workers, budget = driver.executor.workers, driver.budget
    found = cost.estimate(cells, budget, driver.stored(c for c in cells if driver.begun(c)), cost.earlier())
    words = cost.before(found, workers)
    if config.time_limit is None:
        return (words,)
    return time_limit.words(time_limit.seconds_of(config.time_limit), workers, len(cells), budget.seeds), words


def _budget(config: Config, sampler: Sampler | None = None) -> Budget:
    return Budget(config.n_trials(), config.n_seeds(), config.seed, config.minutes, sampler)


def describe_all(registry: Registry, scratch: Path) -> list[Plugin]:
    """Load every model plugin in workers and tell what each is, or why it cannot be loaded."""
    scratch.mkdir(parents=True)
    places = placed(resolved("auto"), 1, None, gpus(), 1)
    executor = LocalExecutor(1, "", scratch, chosen("auto", [cache_folder().parent]), places)
    try:
        return Describer(executor, [*registry.sources["bench.models"].values(), *registry.files], memory_mb=8192).finish()[0]
    finally:
        executor.close()


@contextlib.contextmanager
def _executor(config: Config, requests: Sequence[Request], listen: Listener) -> Iterator[Executor]:
    hidden = [cache_folder().parent, config.folder(), *(request.path for request in requests if request.path is not None)]
    if config.executor == "ray":
        with _on_ray(config, hidden, listen) as executor:
            yield executor
        return
    sandbox = chosen(config.sandbox, hidden)
    if lacking := words_of(sandbox, config.sandbox):
        listen(Notice(lacking))
    scratch = scratch_folder()
    places = _places(config)
    local = LocalExecutor(len(places), "cpu", scratch, sandbox, places)
    try:
        yield local
    finally:
        local.close()


@contextlib.contextmanager
def _on_ray(config: Config, hidden: Sequence[Path], listen: Listener) -> Iterator[Executor]:
    """Start agents on the nodes of a Ray cluster; raise `ConfigError` where none can serve."""
    from bench.execute.cluster.on_ray import START_SECONDS, AgentOptions, ray_executor

    memory = None if config.job_memory is None else config.job_memory * 1024
    options = AgentOptions(config.workers, config.device, config.sandbox, tuple(map(str, hidden)), memory, config.jobs_per_gpu)
    executor = ray_executor(config.address, options, lambda words, nodes: listen(NodesChanged(words, nodes)))
    try:
        if refused := executor.await_nodes(START_SECONDS):
            listen(Notice("; ".join(refused)))
        yield executor
    finally:
        executor.close()


def _places(config: Config) -> list[Place]:
    found, device = gpus(), resolved(config.device)
    # workers that were asked for are dealt, however many a GPU is best given
    each = config.jobs_per_gpu or (remembered(found) if device.startswith("cuda") and config.workers is None else None)
    places = placed(device, config.workers, each, found, cores())
    return [replace(place, graphs=True) for place in places] if device.startswith("cuda") and graphs_wanted(found) else places


def _limits(config: Config) -> Limits:
    half = memory_mb() / 2 / (len(_places(config)) if config.executor == "local" else config.n_workers())
    memory = half if config.job_memory is None else config.job_memory * 1024
    return Limits(config.job_seconds or 600.0, memory, config.limits_given())


def _cells(problem: Problem, config: Config, limits: Limits, task: Task) -> list[Cell]:
    if problem.split.reason:
        return []
    made = []
    for plugin in problem.plugins:
        if plugin.status != "ok":
            continue
        device = "cuda" if resolved(config.device).startswith("cuda") and plugin.gpus else "cpu"
        parts = {
            "task_id": problem.split.task_id,
            "data": problem.fingerprint,
            "model": plugin.name,
            "plugin": plugin.source_hash,
            "bench": job_digest(type(task).__module__, plugin.core_modules),
            "versions": dict(plugin.versions),
            "device": device,
            "limits": limits.given,
        }
        # a plugin that is not shipped may share a name and a space, and is another model
        first = portfolio(task.name, plugin.name, plugin.space, problem.fingerprint) if config.portfolio and plugin.source.shipped else ()
        made.append(
            Cell(problem.title, problem.split, plugin, device, parts, {**_caps(config), **problem.split.context}, first, config.prune)
        )
    return made


def _caps(config: Config) -> dict[str, Any]:
    """Return the fields of `bench.Context` that the profile sets."""
    return {"epochs": config.caps.epochs, "history": config.caps.history, "rows": config.caps.rows}


def _model_sources(config: Config, registry: Registry) -> list[Source]:
    """Choose the plugins to load: those asked for, or all; files are loaded to learn their names."""
    points = registry.sources["bench.models"]
    broken = registry.broken["bench.models"]
    if not config.models:
        return [*points.values(), *registry.files]
    for name in config.models:
        if name not in points and name not in broken and not registry.files:
            raise ConfigError(f"unknown model {name!r}; {suggest(name, registry.names('bench.models'))}")
    return [*(points[n] for n in dict.fromkeys(config.models) if n in points), *registry.files]


def _serving(found: Sequence[Plugin], config: Config, registry: Registry) -> list[Plugin]:
    """Keep the plugins that this run is about, the broken ones with their reasons; refuse clashes and unknown names."""
    broken = registry.broken["bench.models"]
    lost = [Plugin(n, Source(n, ""), status="failed", reason=r) for n, r in broken.items() if not config.models or n in config.models]
    by_name: dict[str, Plugin] = {}
    given = config.anchored().plugins
    for plugin in [*found, *lost]:
        if plugin.status != "ok" and plugin.source.is_file and plugin.source.target in given:
            raise PluginError(f"--plugin {plugin.source.target} cannot be loaded: {plugin.reason}")
        if plugin.name in RESERVED:
            raise ConfigError(f"plugin {plugin.name!r} ({plugin.source.origin()}) has {reserved_name_hint(plugin.name)}")
        if plugin.name in by_name or (plugin.source.is_file and plugin.name in registry.sources["bench.models"]):
            other = by_name[plugin.name].source if plugin.name in by_name else registry.sources["bench.models"][plugin.name]
            raise ConfigError(f"model {plugin.name!r} is offered by {other.origin()} and by {plugin.source.origin()}; rename one")
        by_name[plugin.name] = plugin
    failed_files = [p for p in found if p.source.is_file and p.status != "ok"]
    for name in config.models:
        if name not in by_name:
            also = f"; {failed_files[0].source.target} could not be loaded: {failed_files[0].reason}" if failed_files else ""
            raise ConfigError(f"unknown model {name!r}; {suggest(name, sorted({*by_name, *registry.names('bench.models')}))}{also}")
        if by_name[name].status == "ok" and config.task not in by_name[name].tasks:
            raise ConfigError(f"model {name!r} does not serve {config.task}; it serves {', '.join(sorted(by_name[name].tasks))}")
    wanted = [p for p in by_name.values() if not config.models or p.name in config.models or p in failed_files]
    return [p.asked(config.task) for p in wanted if config.task in p.tasks or not p.tasks]


def _refuse_twin(data: Loaded, before: Mapping[str, str]) -> None:
    """Raise `ConfigError` where one of those before, name -> fingerprint, is the same or has the name."""
    if data.fingerprint in before.values():
        raise ConfigError(f"data set {data.name!r} is given twice; leave one out")
    if data.name in before:
        raise ConfigError(f"two different data sets are both named {data.name!r}; rename one file or folder")


def _words(data: Loaded) -> tuple[str, ...]:
    """Describe how large a data set is, what was dropped of it, and what its adapter said."""
    inside = data.data
    dropped = ", ".join(f"{n:,} {reason}" for reason, n in inside.cleaning.items() if n)
    size = f"{len(inside):,} events of {inside.users:,} users" if isinstance(inside, Events) else _size(inside)
    size += " (simulated)" if data.simulated else ""
    return (size + (f"; dropped of {inside.rows_read:,} rows: {dropped}" if dropped else ""), *data.notes)


def _size(series: Series) -> str:
    return f"{len(series):,} steps of {len(series.names):,} series"


def _write_run(folder: Path, config: Config, problems: Sequence[Problem], task: Task, *, finished: bool) -> None:
    """Write `run.json`: what was asked, of which data, on which machine, with which versions."""
    document = {
        "config": _recorded_config(config),
        "cwd": str(Path.cwd()),
        "finished": finished,
        # while plugins run it stands in a file of its own
        **({"truth_seed": truth_seed.seed_of(config)} if finished and truth_seed.KEY in config.options else {}),
        "written": now().isoformat(timespec="seconds"),
        "bench_version": VERSION,
        "bench_source": bench_source(),
        "git_commit": git_commit(),
        "hardware": {"system": platform.platform(), "machine": platform.machine(), "workers": config.n_workers()},
        "datasets": [
            {
                "name": p.dataset,
                "fingerprint": p.fingerprint,
                "task_id": p.split.task_id,
                "adapter": p.adapter,
                "context": dict(p.split.context),
                "facts": dict(p.split.facts),
                "notes": p.split.notes,
            }
            for p in problems
        ],
        "models": [
            {
                "name": p.name,
                "source_hash": p.source_hash,
                "job_source": job_digest(type(task).__module__, p.core_modules),
                "versions": dict(p.versions),
                "status": p.status,
                "reason": p.reason,
            }
            for p in (problems[0].plugins if problems else ())
        ],
    }
    partial = folder / "run.part"
    partial.write_text(json.dumps(document, indent=1))
    partial.replace(folder / "run.json")


def _recorded_config(config: Config) -> dict[str, Any]:
    """Return the configuration as it was given, with the plugins' paths in full: predictions load them from other folders."""
    anchored = config.anchored()
    # where a cluster listens is no part of what a run is, and nothing that a plugin should find in its folder
    return replace(config, plugins=anchored.plugins, plugins_dirs=anchored.plugins_dirs, address=None).as_dict()


def git_commit() -> str:
    """Return the commit of the checkout that this package runs from; empty where it is none."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
