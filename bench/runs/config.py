"""What one run is asked to do: checked as a whole before anything is read or started."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, suggest
from bench.execute.machine import cores
from bench.execute.sandbox import MODES
from bench.runs.time_limit import seconds_of
from bench.sources.registered import refuse_spelling
from bench.tasks.lookup import NAMES
from bench.tasks.profiles import Profile, profile

NOT_IN_NAME = ("trials", "minutes", "time_limit", "workers", "jobs_per_gpu", "sandbox", "executor", "address", "out", "overwrite")
"""Options that do not change which run a folder holds: more trials continue it."""
BUDGET = ("trials", "seeds")
"""What may grow in a folder; seeds stand in its name all the same, where the folder is not given."""
EXECUTORS = ("local", "ray")
LIMITS = ("device", "job_seconds", "job_memory")
"""What may change in a folder that is given: a cell that ran out of time or memory is tried again with more."""
OWN_FILE = ("user", "time", "kind", "value", "item", "time_unit", "zone")
"""Options that go with `data`: those of the adapter `events` by the same names."""
OWN_SERIES = {"entity": "series", "channels": "channels", "label": "label"}
"""Options that make of `data` series, not a log: ours -> the option of the adapter `series`."""
BOTH = ("time", "value", "time_unit", "zone")
"""What either adapter takes."""


@dataclass(frozen=True)
class Config:
    """The arguments of `bench run`, as the user gave them."""

    task: str
    datasets: tuple[str, ...] = ()
    source: str | None = None
    data: Any = None
    """The user's own event log: a file or folder, or, from Python, a frame (pandas, polars, Arrow)."""
    name: str | None = None
    """What boards call the data in `data`; a frame without one is called data."""
    user: str | None = None
    time: str | None = None
    kind: str | None = None
    value: str | None = None
    item: str | None = None
    time_unit: str | None = None
    zone: str | None = None
    entity: str | None = None
    """Column of the entities of own series, or none: each file is one."""
    channels: str | None = None
    """Columns of several values a step, with commas, or all; or the one column that names the channel of each row."""
    label: str | None = None
    """Column of 0 and 1, 1 in an anomaly, or none."""
    models: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    """MODEL.KEY -> value: parameters that are fixed."""
    space: Mapping[str, str] = field(default_factory=dict)
    """MODEL.KEY -> LOW:HIGH[:log] or A|B: ranges that are narrowed."""
    sampler: str = "tpe"
    """Who proposes the trials after the first batch: the core's own, or a plugin."""
    time_limit: str | None = None
    """Of the whole run: `30m`, `2h`."""
    trials: int | None = None
    minutes: float | None = None
    seeds: int | None = None
    seed: int = 0
    profile: str = "short"
    workers: int | None = None
    """Of this machine, or of each node of a cluster."""
    executor: str = "local"
    """Where jobs run: local, or ray, the nodes of a cluster."""
    address: str | None = None
    """HOST:PORT of the cluster's head; None: one that runs on this machine."""
    device: str = "auto"
    """auto, cpu, cuda (every GPU), cuda:N or cuda:N,M."""
    jobs_per_gpu: int | None = None
    """Jobs that share a GPU at once; None: 4 to 8, as its memory allows."""
    sandbox: str = "auto"
    """Whether workers are confined to their inputs: on, off, or, auto, where the system can."""
    job_seconds: float | None = None
    job_memory: float | None = None
    """GB."""
    out: str | None = None
    plugins: tuple[str, ...] = ()
    plugins_dirs: tuple[str, ...] = ()
    portfolio: bool = True
    """Whether a search begins with configurations that did well on other logs."""
    prune: bool = False
    """Whether a search stops trainings that are far behind, and spends what that saves on further trials."""
    overwrite: bool = False
    """Move a run aside that is in the way of `out`."""

    def checked(self) -> Config:
        """Refuse what cannot be meant, and spell `data` as the dataset it is; raise `ConfigError` that says what to give."""
        if self.task not in NAMES and not (self.plugins or self.plugins_dirs):  # a file may bring it
            raise ConfigError(f"unknown task {self.task!r}; {suggest(self.task, NAMES)}")
        profile(self.profile)
        _at_least_one("trials", self.trials)
        _at_least_one("seeds", self.seeds)
        _at_least_one("workers", self.workers)
        _at_least_one("jobs_per_gpu", self.jobs_per_gpu)
        for name in ("minutes", "job_seconds", "job_memory"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{_option(name)} {value:g} is not positive; leave it out for the default")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} is negative; give 0 or more")
        self._check_machine()
        if self.source is not None and sum("=" not in word for word in self.datasets) != 1:
            raise ConfigError("--source goes with exactly one --dataset ADAPTER; for several, write --dataset ADAPTER=PATH for each")
        if self.time_limit is not None:
            seconds_of(self.time_limit)
        if self.name is not None:
            refuse_spelling(self.name)
        return self._with_own_file()

    def _check_machine(self) -> None:
        """Refuse what cannot be meant by where and how jobs run."""
        if self.sandbox not in MODES:
            raise ConfigError(f"--sandbox {self.sandbox!r} is unknown; use {', '.join(MODES)}")
        if self.executor not in EXECUTORS:
            raise ConfigError(f"--executor {self.executor!r} is unknown; use {' or '.join(EXECUTORS)}")
        if self.address is not None and self.executor != "ray":
            raise ConfigError(f"--address {self.address} goes with --executor ray")
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3}(,\d{1,3})*)?", self.device):
            raise ConfigError(f"--device {self.device!r} is unknown; use auto, cpu, cuda (every GPU), cuda:N or cuda:N,M")
        if self.jobs_per_gpu is not None and self.device == "cpu":
            raise ConfigError(f"--jobs-per-gpu {self.jobs_per_gpu} goes with --device auto or cuda, not cpu")

    def _with_own_file(self) -> Config:
        """Turn `--data FILE --user COLUMN` into `--dataset events=FILE --set events.user=COLUMN`, which is the same.

        With an entity, channels or a label it is series: `--dataset series=FILE --set series.channels=COLUMN,COLUMN`.
        """
        given = {name: value for name in (*OWN_FILE, *OWN_SERIES) if (value := getattr(self, name)) is not None}
        if self.data is None:
            if self.name is not None and not self.datasets:
                raise ConfigError(f"--name {self.name} goes with --data FILE; other data is named by bench data add NAME PATH")
            if given:
                raise ConfigError(f"{_option(next(iter(given)))} goes with --data FILE; for other data write --set ADAPTER.KEY=VALUE")
            return self
        adapter, given = own_columns(given)
        if any(word.startswith(f"{adapter}=") for word in self.datasets):
            raise ConfigError(f"--data is --dataset {adapter}=FILE and shares its options; for two of your own: bench data add NAME PATH")
        if not isinstance(self.data, str | Path):
            from bench.sources.load import cache_frame, holds_series

            path = str(cache_frame(self.data, self.name or "data"))
            if not given and holds_series(self.data):
                return replace(self, data=None, datasets=(*self.datasets, f"series={path}"))
        elif not str(self.data):
            raise ConfigError("--data is empty; give a file or a folder")
        else:
            path = str(self.data)
        options = {**self.options, **{f"{adapter}.{name}": str(value) for name, value in given.items()}}
        nothing: dict[str, Any] = dict.fromkeys(("data", *OWN_FILE, *OWN_SERIES))
        return replace(self, datasets=(*self.datasets, f"{adapter}={path}"), options=options, **nothing)

    @property
    def caps(self) -> Profile:
        """Return the profile."""
        return profile(self.profile)

    def n_trials(self) -> int:
        """Return the trials of each cell."""
        return self.caps.trials if self.trials is None else self.trials

    def n_seeds(self) -> int:
        """Return the seeds of each final fit."""
        return self.caps.seeds if self.seeds is None else self.seeds

    def n_workers(self) -> int:
        """Return the number of worker processes: the cores this process may use, unless told otherwise."""
        return self.workers or cores()

    def folder(self) -> Path:
        """Name the run folder: the same command finds its own again."""
        if self.out is not None:
            return Path(self.out)
        parts = {**self.identity(), **{name: getattr(self, name) for name in ("seeds", *LIMITS)}}
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
        return Path("runs") / f"{self.task}-{digest}"

    def identity(self) -> dict[str, Any]:
        """Return what makes this run another than one with other arguments: all but the budget and the limits, paths in full."""
        return {name: value for name, value in self.anchored().as_dict().items() if name not in (*NOT_IN_NAME, *BUDGET, *LIMITS)}

    def budget(self, name: str) -> int:
        """Return one item of the budget: given, or the profile's."""
        return {"trials": self.n_trials(), "seeds": self.n_seeds()}[name]

    def anchored(self, home: Path = Path()) -> Config:
        """Spell all paths in full, seen from `home`: a run is repeated, and asked for predictions, from other folders too."""
        return replace(
            self,
            datasets=tuple(_absolute(text, home) for text in self.datasets),
            source=str((home / self.source).resolve()) if self.source else None,
            plugins=tuple(str((home / p).resolve()) for p in self.plugins),
            plugins_dirs=tuple(str((home / p).resolve()) for p in self.plugins_dirs),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON takes them."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else dict(v) if isinstance(v, Mapping) else v for name, v in plain.items()}

    def limits_given(self) -> str:
        """Format the job limits as given: a default that follows the machine stands as `default` in every job's key."""
        seconds = "default" if self.job_seconds is None else f"{self.job_seconds:g}s"
        return f"{seconds}/{'default' if self.job_memory is None else f'{self.job_memory:g}GB'}"


def task_options(
    options: Mapping[str, str], known: Mapping[str, str], adapters: list[str]
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Part `--set` pairs into the task's own and each adapter's (`retail.key=value`); raise `ConfigError` on unknown keys."""
    own: dict[str, str] = {}
    others: dict[str, dict[str, str]] = {}
    for key, value in options.items():
        adapter, dot, name = key.partition(".")
        if dot and adapter in adapters:
            others.setdefault(adapter, {})[name] = value
        elif key in known:
            own[key] = value
        else:
            raise ConfigError(f"unknown option --set {key}={value}; {suggest(key, [*known, *(f'{a}.KEY' for a in adapters)])}")
    return own, others


def own_columns(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return which adapter reads own data whose columns are named, `events` or `series`, and its options.

    Raises `ConfigError` where the columns of a log and of series are named together.
    """
    series = [name for name in given if name in OWN_SERIES]
    if not series:
        return "events", dict(given)
    odd = next((name for name in given if name not in (*OWN_SERIES, *BOTH)), None)
    if odd is not None:
        raise ConfigError(f"{_option(odd)} names a column of a log and {_option(series[0])} one of series; leave one of them out")
    return "series", {OWN_SERIES.get(name, name): value for name, value in given.items()}


def _at_least_one(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ConfigError(f"{_option(name)} {value} leaves nothing to do; give 1 or more")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _absolute(spec: str, home: Path) -> str:
    adapter, equals, path = spec.partition("=")
    return f"{adapter}={(home / Path(path).expanduser()).resolve()}" if equals else spec
