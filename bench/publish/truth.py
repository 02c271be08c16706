"""Find the data behind a published run and split it anew; where the data is not at hand, say so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bench
from bench.board.schema import Row
from bench.data.events import Events
from bench.data.series import Series
from bench.errors import BenchError, ConfigError, suggest
from bench.execute.jobs import bench_source
from bench.publish.store import reason_of
from bench.registry import Registry
from bench.runs.truth_seed import KEY
from bench.sources.cache import cache_entries, cache_folder
from bench.sources.cache import load as load_entry
from bench.sources.load import Request, loaded
from bench.tasks.base import Split, Task, protocol_of
from bench.tasks.profiles import PROFILES, Profile

NO_DATA = "the data is not at hand: give it with --source {name}=PATH"


@dataclass(frozen=True)
class PublishedRun:
    """What a published run says of how it was made, checked as far as it is used."""

    task: str
    profile: Profile
    seed: int
    truth_seed: int
    """Of simulated data and of what is injected."""
    options: Mapping[str, str]
    datasets: Sequence[Mapping[str, Any]]
    trials: int
    """Fits of each search at most."""
    requested_models: Sequence[str]
    """Models that the command named; none: all that serve the task."""
    models: Mapping[str, Mapping[str, Any]]
    bench_version: str
    bench_source: str
    system: str


@dataclass(frozen=True)
class SplitsOfDataSet:
    """The splits of one data set, by task id, or why there are none."""

    splits: Mapping[str, Split] = field(default_factory=dict)
    missing: str = ""
    """Why nothing can be checked here."""
    wrong: str = ""
    """What does not agree with the data."""


def read_run(about: Mapping[str, Any], what: str) -> PublishedRun:
    """Take a published `run.json` apart; raise `BenchError` where it is not of the right form."""
    try:
        config = about["config"]
        options = {str(key): str(value) for key, value in (config["options"] or {}).items()}
        truth_seed = int(options.pop(KEY, config["seed"]))
        datasets = [
            {k: str(d[k]) for k in ("name", "fingerprint", "task_id", "adapter")} | {"simulator": d["simulator"]} for d in about["datasets"]
        ]
        models = {str(m["name"]): m for m in about["models"] if isinstance(m.get("versions"), dict)}
        return PublishedRun(
            str(config["task"]), PROFILES[config["profile"]], int(config["seed"]), truth_seed, options, datasets,
            int(config.get("trials") or PROFILES[config["profile"]].trials),
            [str(name) for name in config["models"] or ()], models,
            str(about["bench_version"]), str(about["bench_source"]), str((about["hardware"] or {}).get("system")),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchError(f"{what}: not what a run writes ({type(error).__name__}: {reason_of(error)})") from None


def splits_of(run: PublishedRun, rows: Sequence[Row], sources: Mapping[str, Path], registry: Registry) -> dict[str, SplitsOfDataSet]:
    """Split the data of each data set that the rows name, anew."""
    from bench.tasks.lookup import NAMES

    found = {}
    for name in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == name]
        about = next((d for d in run.datasets if d["name"] == name), None)
        try:
            if about is None or run.task not in NAMES or any(row["task"] != run.task for row in own):
                found[name] = SplitsOfDataSet(wrong=f"run.json knows no data set {name!r} of task {own[0]['task']}")
            else:
                found[name] = _split(run, about, own, registry.task(run.task), sources, registry)
        except BenchError as error:
            words = f"the data cannot be read or split here: {error}"
            # data that was given for this check must not be passed over in silence
            found[name] = SplitsOfDataSet(wrong=words) if name in sources else SplitsOfDataSet(missing=words)
    return found


def _split(
    run: PublishedRun, about: Mapping[str, Any], rows: Sequence[Row], task: Task, sources: Mapping[str, Path], registry: Registry
) -> SplitsOfDataSet:
    claimed = rows[0]["fingerprint"]
    if any(row["fingerprint"] != claimed for row in rows):
        return SplitsOfDataSet(wrong="the rows of one data set have several fingerprints")
    data, fingerprint, simulated, how = _data(run, about, str(claimed), sources, registry)
    if data is None:
        return SplitsOfDataSet(missing=how)
    if fingerprint != claimed:
        return SplitsOfDataSet(wrong=f"fingerprint: the rows say {claimed}, the data ({how}) has {fingerprint}")
    if any(bool(row["simulated"]) != simulated for row in rows):
        return SplitsOfDataSet(wrong=f"simulated: the rows say {not simulated}, the data ({how}) says {simulated}")
    own = {key: value for key, value in run.options.items() if key in task.options}
    splits = {s.task_id: s for s in task.splits(data, own, run.profile, run.truth_seed, simulated=simulated)}
    return _of_ids(run, sorted({row["task_id"] for row in rows}), splits)


def _of_ids(run: PublishedRun, published: Sequence[str], splits: Mapping[str, Split]) -> SplitsOfDataSet:
    """Compare the task ids of the rows with those that the data gives; those of another protocol cannot be made here."""
    ours = sorted(map(protocol_of, splits))
    other = sorted(set(map(protocol_of, published)) - set(ours))
    if other and run.bench_source != bench_source():
        return SplitsOfDataSet(
            missing=f"made by protocol {other[0][:40]}, this bench has {ours[0]}; check it with bench {run.bench_version[:40]}"
        )
    unknown = [task_id for task_id in published if task_id not in splits]
    if unknown:
        return SplitsOfDataSet(
            splits, wrong=f"task id: the rows say {unknown[0]}, the data and the run's options give {', '.join(sorted(splits))}"
        )
    return SplitsOfDataSet(splits)


def _data(
    run: PublishedRun, about: Mapping[str, Any], claimed: str, sources: Mapping[str, Path], registry: Registry
) -> tuple[Events | Series | None, str, bool, str]:
    """Return the data, its fingerprint, whether it is simulated and where it comes from; None with the reason where it is not at hand."""
    name, adapter = about["name"], about["adapter"]
    if adapter not in registry.names("bench.datasets"):
        return None, "", False, f"the adapter {adapter!r} is not installed here"
    if name in sources:
        options = {k.partition(".")[2]: v for k, v in run.options.items() if k.startswith(f"{adapter}.")}
        found = loaded(Request(adapter, sources[name]), registry, options, size=run.profile.users, seed=run.truth_seed)
        return found.data, found.fingerprint, found.simulated, str(sources[name])
    if about["simulator"] is True:
        found = loaded(Request(adapter, None), registry, {}, size=run.profile.users, seed=run.truth_seed)
        if found.fingerprint != claimed and run.bench_version != bench.__version__:
            return None, "", True, f"it was simulated by bench {run.bench_version}, this is {bench.__version__}"
        return found.data, found.fingerprint, True, "simulated anew"
    kept = _cached(claimed)
    simulated = kept is not None and kept.name == registry.dataset(adapter).simulated_name
    # what went wrong in a simulated log stands beside its files, not in the cache
    if kept is None or (simulated and run.task == "anomaly"):
        return None, "", False, NO_DATA.format(name=name)
    kept = replace(kept, once=registry.dataset(adapter).card.once) if isinstance(kept, Events) else kept
    return kept, claimed, simulated, "from the cache"


def _cached(fingerprint: str) -> Events | Series | None:
    """Find data in the cache by its fingerprint."""
    for entry in cache_entries():
        folder = cache_folder() / entry.key
        try:
            if json.loads((folder / "meta.json").read_text("utf-8")).get("fingerprint") != fingerprint:
                continue
        except (OSError, ValueError, AttributeError):
            continue
        found = load_entry(folder)
        if found is not None:
            return found.data
    return None


def parse_sources(words: Sequence[str], known: Sequence[str]) -> dict[str, Path]:
    """Read `--source NAME=PATH`; raise `ConfigError` for what is none, or names no data set of the place or no file."""
    found = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not path:
            raise ConfigError(f"--source {word!r} is no NAME=PATH; write --source cdnow-master=CDNOW_master.txt")
        if name not in known:
            raise ConfigError(f"--source {word}: no published row is of data set {name!r}; {suggest(name, list(known))}")
        found[name] = Path(path).expanduser()
        if not found[name].exists():
            raise ConfigError(f"--source {word}: no such file or folder")
    return found
