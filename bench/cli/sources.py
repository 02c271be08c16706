"""`bench data add`, `fetch` and `simulate`: bring data in under a name."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from bench.errors import BenchError, ConfigError, suggest
from bench.registry import Registry, discover


def add(name: str, path: Path | None, adapter: str | None, sets: Sequence[str], *, as_json: bool) -> None:
    """Register a set after reading it once: what cannot be read is not registered."""
    from bench.cli.data import adapter_options
    from bench.sources.registered import refuse_name

    registry = discover()
    refuse_name(name, registry.names("bench.datasets"))
    if path is None:
        raise ConfigError(f"no path is given; write bench data add {name} PATH --adapter ADAPTER")
    if adapter is None:
        found = ", ".join(_recognising(path, registry)) or "none does by itself"
        raise ConfigError(f"no adapter is given; add --adapter A (adapters that recognise {path}: {found})")
    _register(name, adapter, path, adapter_options(adapter, sets), registry, as_json=as_json)


def remove_source(name: str) -> None:
    """Take a set off the list."""
    from bench.sources.registered import forget

    gone = forget(name)
    typer.echo(f"removed {name} from the list; {gone.path} is not touched")


def list_downloads(*, as_json: bool) -> None:
    """List what can be downloaded, and what must be added by hand."""
    from bench.cli.lists import show_columns
    from bench.sources.download import BY_HAND, DOWNLOADS

    rows = [
        {
            "name": name,
            "adapter": d.adapter,
            "sha256": ", ".join(f.sha256[:12] for f in d.files),
            "licence": d.licence,
            "url": " ".join(f.url for f in d.files),
        }
        for name, d in DOWNLOADS.items()
    ]
    if as_json:
        typer.echo(json.dumps({"downloads": rows, "by_hand": BY_HAND}))
        return
    show_columns(rows)
    for name, words in BY_HAND.items():
        typer.echo(f"\n{name}: {words}")


def fetch_source(name: str, to: Path | None, *, as_json: bool) -> None:
    """Download a set, check it, and register it."""
    from bench.sources.download import download_named, downloads_folder, fetch
    from bench.sources.registered import refuse_name

    download = download_named(name)
    registry = discover()
    refuse_name(name, registry.names("bench.datasets"))
    folder = (to or downloads_folder()) / name
    with _progress(name) as progress:
        digests = fetch(download, folder, progress)
    for file, digest in zip(download.files, digests, strict=False):
        known = "as published" if file.sha256 == digest else "no checksum is known to compare it with"
        sys.stderr.write(f"{file.name} sha256 {digest} ({known})\n")
    sys.stderr.write(f"{name} {'lies' if digests else 'was already'} in {folder}; licence: {download.licence}\n")
    _register(name, download.adapter, folder / download.inside, {}, registry, as_json=as_json)


def simulate(adapter: str, folder: Path, size: int, seed: int) -> None:
    """Write a simulated log; the folder appears whole or not at all."""
    maker = discover().dataset(adapter)
    if not maker.simulated_name:
        raise ConfigError(f"adapter {adapter!r} has no simulator; give data of your own: bench data add NAME PATH --adapter {adapter}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already and not empty; give a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder.parent) as scratch:
        made = Path(scratch) / "log"
        made.mkdir()
        maker.simulate(made, size, seed)
        made.rename(folder)
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    typer.echo(f"wrote {', '.join(str(f.relative_to(folder)) for f in files)} ({sum(f.stat().st_size for f in files) / 1e6:.1f} MB)")
    typer.echo(f"to run on it: bench run --task churn --dataset {adapter}={folder}")


def _register(name: str, adapter: str, path: Path, options: dict[str, str], registry: Registry, *, as_json: bool) -> None:
    from bench.data.series import Series
    from bench.sources.load import Request, loaded
    from bench.sources.registered import Registered, register

    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigError(f"no file or folder {path}; {suggest(path.name, siblings) if siblings else 'check the path'}")
    data = loaded(Request(adapter, path, name), registry, options, size=0, seed=0)
    holds = "series" if isinstance(data.data, Series) else "events"
    register(name, Registered(adapter, str(path.resolve()), options, holds))
    rows = {"rows": len(data.data), "rows_read": data.data.rows_read, "dropped": dict(data.data.cleaning), "notes": list(data.notes)}
    if as_json:
        typer.echo(json.dumps({"name": name, "adapter": adapter, "path": str(path.resolve()), "holds": holds, **rows}))
        return
    dropped = ", ".join(f"{n:,} {reason}" for reason, n in data.data.cleaning.items() if n) or "none"
    typer.echo(f"added {name}: {len(data.data):,} {'steps' if holds == 'series' else 'events'} read by {adapter}; dropped: {dropped}")
    for note in data.notes:
        typer.echo(f"  {note}")


def _recognising(path: Path, registry: Registry) -> Iterator[str]:
    for name in registry.names("bench.datasets"):
        try:
            if registry.dataset(name).detect(path) is not None:
                yield name
        except BenchError:
            continue


@contextmanager
def _progress(name: str) -> Iterator[Any]:
    """Show a bar on stderr; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as shown:
        yield _Bar(shown, shown.add_task(name, total=None))


class _Bar:
    """Show one file after the other in one bar of rich."""

    def __init__(self, shown: Any, task: Any) -> None:
        self.shown, self.task = shown, task

    def start(self, total: int | None) -> None:
        """Begin a file."""
        self.shown.reset(self.task, total=total)

    def update(self, n: int) -> None:
        """Take `n` more bytes."""
        self.shown.advance(self.task, n)
