"""`bench plugin new` and `bench plugin check`: the authors' kit on the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.errors import ConfigError, PluginError, suggest
from bench.registry import GROUPS, Group, Registry, Source, discover

if TYPE_CHECKING:
    from bench.testing.scaffold import Kind

SAMPLERS: Group = "bench.samplers"


def new(name: str, folder: Path, *, kind: Kind, distribution: bool) -> None:
    """Write a plugin, and say what to do with it."""
    from bench.testing.scaffold import module_of, run_command, write_distribution, write_file

    registry = discover()
    taken = [n for group in GROUPS for n in registry.names(group)]
    write = write_distribution if distribution else write_file
    path = write(name, folder, kind=kind, taken=taken)
    typer.echo(f"wrote {path}")
    if distribution:
        typer.echo(f"install it: pip install -e {path}")
        typer.echo(f"check it:   bench plugin check {path / 'src' / module_of(name) / 'plugin.py'}")
        return
    typer.echo(f"check it:   bench plugin check {path}")
    label = "run on it:  " if kind == "dataset" else "run it:     "
    typer.echo(f"{label}{run_command(name, kind, f' --plugin {path}')}")


def check(what: str, task: str | None, sandbox: str, *, as_json: bool) -> int:
    """Check a plugin, one line a check; 1 where a check failed, or none could be run."""
    from bench.execute.sandbox import chosen, words_of
    from bench.sources.cache import cache_folder
    from bench.tasks.lookup import NAMES
    from bench.testing.supervise import LOADED
    from bench.testing.supervise import check as verdicts_of
    from bench.testing.verdicts import Verdict

    # a plugin in a file may bring the task with it: then the file says which there are
    if task is not None and task not in NAMES and not what.endswith(".py"):
        raise ConfigError(f"unknown task {task!r}; {suggest(task, list(NAMES))}")
    confined = chosen(sandbox, [cache_folder().parent])
    if lacking := words_of(confined, sandbox):
        typer.echo(f"note: {lacking}", err=True)
    verdicts: list[Verdict] = []
    for source, groups in _sources(what, discover()):
        for verdict in verdicts_of(source, groups, task or "", sandbox=confined):
            verdicts.append(verdict)
            if not as_json:
                typer.echo(_line(verdict))
    failed = sum(v.status == "failed" for v in verdicts)
    passed = any(v.status == "ok" for v in verdicts)
    if as_json:
        typer.echo(json.dumps([v.as_dict() for v in verdicts]))
    else:
        skipped = sum(v.status == "skipped" for v in verdicts)
        counts = f"{len(verdicts)} checks, {failed} failed, {skipped} skipped"
        loaded = any(v.status == "ok" or v.check != LOADED for v in verdicts)
        typer.echo(f"{what}: {counts if loaded else 'could not be loaded, none of its checks was run'}")
    return 1 if failed or not passed else 0


def _line(verdict: object) -> str:
    from bench.testing.verdicts import Verdict

    assert isinstance(verdict, Verdict)
    where = f"{verdict.plugin} {verdict.task}".rstrip()
    line = f"{where}: {verdict.check}: {verdict.status}{f': {verdict.reason}' if verdict.reason else ''}"
    # what a plugin says of itself must not steer the terminal, nor end the line
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _sources(what: str, registry: Registry) -> Iterator[tuple[Source, tuple[Group, ...]]]:
    """Find a file, or a name among models, adapters and tasks; raise `ConfigError` with the likely one."""
    if what.endswith(".py") or os.sep in what:
        if Path(what).is_dir():
            raise ConfigError(f"{what} is a folder; give the plugin's file, or install it and give its name")
        yield next(iter(discover([what]).files)), GROUPS
        return
    for group in GROUPS:
        if what in registry.broken[group]:
            raise PluginError(f"{what}: {registry.broken[group][what]}")
    homes = [(registry.sources[group][what], (group,)) for group in GROUPS if group != SAMPLERS and what in registry.sources[group]]
    if not homes and what in registry.sources[SAMPLERS]:
        raise ConfigError(f"{what!r} is a sampler, of which there is no check; what it proposes is checked each time it is asked")
    if not homes:
        names = [name for group in GROUPS for name in registry.names(group)]
        raise ConfigError(f"no plugin {what!r}; {suggest(what, names)} (for a file, give its path: ./{what}.py)")
    yield from homes
