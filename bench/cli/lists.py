"""`bench list` and `bench plugin list`: names without imports, and plugins loaded one by one in a child process."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bench.errors import ConfigError, suggest
from bench.registry import Group, discover

if TYPE_CHECKING:
    from bench.cli.static_models import Declared


def list_plugins(group: Group, files: Sequence[Path], folders: Sequence[Path], *, as_json: bool) -> None:
    """List the names of a group with their origins; nothing is imported."""
    registry = discover(files, folders)
    rows = [(name, source.origin()) for name, source in sorted(registry.sources[group].items())]
    rows += [(source.name, source.origin()) for source in registry.files]
    rows += [(name, f"broken: {reason}") for name, reason in sorted(registry.broken[group].items())]
    _show([{"name": name, "origin": origin} for name, origin in rows], as_json=as_json)


def list_samplers(files: Sequence[Path], folders: Sequence[Path], *, as_json: bool) -> None:
    """List the core's sampler, and those of plugins, with their origins; nothing is imported."""
    registry = discover(files, folders)
    rows = [("tpe", "the core's own, the default"), *((n, s.origin()) for n, s in sorted(registry.sources["bench.samplers"].items()))]
    rows += [(source.name, source.origin()) for source in registry.files]
    rows += [(name, f"broken: {reason}") for name, reason in sorted(registry.broken["bench.samplers"].items())]
    _show([{"name": name, "origin": origin} for name, origin in rows], as_json=as_json)


def list_models(files: Sequence[Path], folders: Sequence[Path], task: str, *, as_json: bool) -> None:
    """List the models, what each serves and which extra it needs, as their source says; nothing is imported."""
    from bench.cli.static_models import Declared, declared_models
    from bench.tasks.lookup import NAMES

    if task and task not in NAMES:
        raise ConfigError(f"unknown task {task!r}; {suggest(task, list(NAMES))}")
    registry = discover(files, folders)
    rows = []
    for name, source in sorted(registry.sources["bench.models"].items()):
        facts = declared_models(source).get(name, Declared())
        rows.append({"name": name, **_listed_facts(facts), "origin": source.origin()})
    for source in registry.files:
        rows += [
            {"name": name, **_listed_facts(facts), "origin": source.origin()}
            for name, facts in (declared_models(source) or {source.name: Declared()}).items()
        ]
    if task:
        rows = [row for row in rows if task in row["serves"].split(", ") or not row["serves"]]
    broken = sorted(registry.broken["bench.models"].items())
    rows += [{"name": name, "serves": "", "needs": "", "origin": f"broken: {reason}"} for name, reason in broken]
    _show(rows, as_json=as_json)


def _listed_facts(facts: Declared) -> dict[str, str]:
    extras = ", ".join(f"seqbench[{extra}]" for extra in facts.extras)
    return {"serves": ", ".join(facts.tasks), "needs": extras}


def list_tasks(*, as_json: bool) -> None:
    """List the tasks and their options."""
    rows = [
        {"task": name, "option": key, "meaning": text}
        for name, task, reason in _tasks()
        for key, text in (task.options.items() if task else (("", reason),))
    ]
    _show(rows, as_json=as_json)


def list_features(*, as_json: bool) -> None:
    """List the static aggregates and the features of the churn task."""
    from bench.data.feature_names import AGGREGATES, FEATURES

    tables = (("static", AGGREGATES), ("features", FEATURES))
    _show([{"name": name, "of": of, "meaning": text} for of, table in tables for name, text in table.items()], as_json=as_json)


def list_metrics(*, as_json: bool) -> None:
    """List the metrics of all tasks."""
    rows = [
        {
            "task": name,
            "metric": m.name,
            "better": "higher" if m.higher_is_better else "lower",
            "ranks": _ranks(task, m.name),
            "meaning": m.help,
        }
        for name, task, _ in _tasks()
        for m in (task.metrics.values() if task else ())
    ]
    _show(rows, as_json=as_json)


def _ranks(task: Any, metric: str) -> str:
    """State whether a metric ranks: of itself, or where `--metric` asks for it."""
    if any(rule.metric == metric for rule in task.rankings.values()):
        return "default"
    return "--metric" if any(metric in level for level in task.proper.values()) else ""


def _tasks() -> Iterator[tuple[str, Any, str]]:
    """Load each task by name; one that cannot be loaded is None, with the reason."""
    from bench.errors import BenchError
    from bench.tasks.lookup import NAMES, task_named

    for name in NAMES:
        try:
            yield name, task_named(name), ""
        except BenchError as error:
            yield name, None, f"broken: {error}"


def list_profiles(*, as_json: bool) -> None:
    """List the profiles, and how much of everything each holds."""
    from bench.tasks.profiles import PROFILES

    rows = [{key: "all" if value is None else value for key, value in asdict(p).items()} for p in PROFILES.values()]
    _show([{"profile": row.pop("name"), **row} for row in rows], as_json=as_json)


def check_plugins(files: Sequence[Path], folders: Sequence[Path], *, as_json: bool) -> None:
    """Load each plugin in a worker and show what it offers or why it fails."""
    _show(plugin_report(files, folders), as_json=as_json)


def plugin_report(files: Sequence[Path] = (), folders: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Describe every model plugin, in workers, and every adapter; a failure is a line with its reason."""
    from bench.errors import BenchError
    from bench.runs.runner import describe_all

    registry = discover(files, folders)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        found = describe_all(registry, Path(scratch) / "slots")
    rows = [
        {
            "kind": "model",
            "name": p.name,
            "status": p.status,
            "serves": ", ".join(sorted(p.tasks)),
            "runtime": p.runtime if p.status == "ok" else "",
            "about": p.reason or p.source.origin(),
        }
        for p in found
    ]
    rows += [
        {"kind": "model", "name": n, "status": "failed", "serves": "", "runtime": "", "about": r}
        for n, r in registry.broken["bench.models"].items()
    ]
    for name in registry.names("bench.datasets"):
        line = {"kind": "dataset", "name": name, "status": "ok", "serves": "", "runtime": "", "about": ""}
        try:
            line["about"] = registry.dataset(name).card.title
        except BenchError as error:
            line |= {"status": "failed", "about": str(error)}
        rows.append(line)
    return rows


def _show(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(list(rows)))
        return
    show_columns(rows)


def show_columns(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows in aligned columns, the last one free to run on."""
    if not rows:
        typer.echo("none")
        return
    names = list(rows[0])
    width = {n: max(len(n), *(len(str(row[n])) for row in rows)) for n in names}
    typer.echo("  ".join(n.ljust(width[n]) for n in names).rstrip())
    for row in rows:
        typer.echo("  ".join(str(row[n]).ljust(width[n]) for n in names).rstrip())
