"""`bench data`: look at data before running on it."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from bench.errors import BenchError, ConfigError, DataError
from bench.registry import Registry, discover

BLOCKS = "▁▂▃▄▅▆▇█"


def list_data(*, as_json: bool) -> None:
    """List adapters with their cards, the registered sets, what can be downloaded, and the cached data."""
    from bench.cli.lists import show_columns
    from bench.sources.cache import cache_entries, cache_folder
    from bench.sources.download import DOWNLOADS
    from bench.sources.registered import registered, sources_file

    registry = discover()
    adapters = [_adapter(registry, name) for name in registry.names("bench.datasets")]
    named = [
        {"registered": n, "adapter": r.adapter, "holds": r.holds, "path": r.path + ("" if Path(r.path).exists() else " (gone)")}
        for n, r in registered().items()
    ]
    cached = [{"cached": e.name or "damaged", "rows": e.rows, "MB": round(e.bytes / 1e6, 1), "source": e.source} for e in cache_entries()]
    if as_json:
        document = {"adapters": adapters, "registered": named, "downloads": list(DOWNLOADS), "cached": cached}
        typer.echo(json.dumps({**document, "folder": str(cache_folder()), "list": str(sources_file())}))
        return
    show_columns(adapters)
    typer.echo(f"\nregistered sets, in {sources_file()}")
    show_columns(named)
    typer.echo(f"\nto download with bench data fetch NAME: {', '.join(DOWNLOADS)}")
    typer.echo(f"\ncache {cache_folder()}")
    show_columns(cached)


def _adapter(registry: Registry, name: str) -> dict[str, str]:
    """Describe one adapter; one that cannot be loaded says why."""
    try:
        adapter = registry.dataset(name)
    except BenchError as error:
        return {"adapter": name, "simulator": "-", "licence": "-", "title": f"cannot be loaded: {error}"}
    return {"adapter": name, "simulator": adapter.simulated_name or "-", "licence": adapter.card.licence, "title": adapter.card.title}


def info(dataset: str, columns: Mapping[str, str], sets: Sequence[str], size: int, seed: int, *, as_json: bool) -> None:
    """Describe one data set in the terminal."""
    from bench.cli.about import about
    from bench.cli.progress import show_reading
    from bench.sources.load import loaded, requested

    registry = discover()
    own = "=" not in dataset and dataset not in registry.names("bench.datasets") and Path(dataset).exists()
    request = requested([f"events={dataset}" if own else dataset], None, registry)[0]
    with show_reading(sys.stderr, quiet=as_json):
        data = loaded(request, registry, adapter_options(request.adapter, sets, columns), size=size, seed=seed)
    facts = about(data.data)
    if as_json:
        head = {"name": data.name, "simulated": data.simulated, "fingerprint": data.fingerprint, "notes": data.notes}
        typer.echo(json.dumps({**head, **facts}, default=str))
        return
    card = data.adapter.card
    typer.echo(f"{data.name}{' (simulated)' if data.simulated else ''}: {card.title}")
    typer.echo(f"licence {card.licence}; source {card.source}")
    (show_events if "events" in facts else show_series)(facts)
    for note in data.notes:
        typer.echo(f"note: {note}")
    for trap in card.traps:
        typer.echo(f"beware: {trap}")
    typer.echo(f"fingerprint {data.fingerprint}")


def show_events(facts: Mapping[str, Any]) -> None:
    """Print what a log holds."""
    typer.echo(f"{facts['events']:,} events, {facts['users']:,} users, {facts['items']:,} items, {facts['first']} to {facts['last']}")
    typer.echo("kinds " + ", ".join(f"{kind} {n:,}" for kind, n in facts["kinds"].items()))
    typer.echo(_dropped(facts))
    if facts["labels"]:
        typer.echo("labels " + ", ".join(f"{n:,} {word}" for word, n in facts["labels"].items()))
    typer.echo(f"\nactivity over time, {facts['first']} to {facts['last']}\n{spark(facts['activity'])}")
    for name, words in (("users_by_active_days", "users by active days"), ("gaps_days", "days between active days")):
        typer.echo(f"\n{words}")
        bars(facts[name])


def show_series(facts: Mapping[str, Any]) -> None:
    """Print what series hold."""
    when = f"{facts['first']} to {facts['last']}" if facts["first"] else "without times"
    typer.echo(f"{facts['series']:,} series, {facts['steps']:,} steps, {facts['missing']:,} of them without a value, {when}")
    typer.echo(f"steps of a series {facts['shortest']:,} to {facts['longest']:,}; in the fixed test part {facts['test']:,}")
    typer.echo(f"labelled steps {facts['labelled']:,}; values {facts['smallest']:g} to {facts['largest']:g}")
    typer.echo(_dropped(facts))


def _dropped(facts: Mapping[str, Any]) -> str:
    words = ", ".join(f"{n:,} {reason}" for reason, n in facts["dropped"].items() if n)
    return f"dropped of {facts['rows_read']:,} rows: {words or 'none'}"


def check(adapter: str, path: Path, columns: Mapping[str, str], sets: Sequence[str], *, as_json: bool) -> None:
    """Read past the cache once; report counts, rate and the peak of this process's memory."""
    from bench.cli.progress import show_reading
    from bench.data.events import Events
    from bench.sources.cache import captured_notes
    from bench.sources.load import refuse_options

    reader, options = discover().dataset(adapter), adapter_options(adapter, sets, columns)
    refuse_options(reader, options)
    if not path.exists():
        raise DataError(f"no file or folder {path}; check the path")
    form = reader.detect(path)
    began = time.perf_counter()
    with captured_notes() as notes, show_reading(sys.stderr, quiet=as_json):
        read = reader.read(path, options)
    took = time.perf_counter() - began
    scale = 1024**2 if sys.platform == "darwin" else 1024
    counts = {"events": len(read), "users": read.users} if isinstance(read, Events) else {"steps": len(read), "series": len(read.names)}
    report: dict[str, Any] = {
        "name": read.name,
        "form": form,
        "rows_read": read.rows_read,
        **counts,
        "dropped": dict(read.cleaning),
        "seconds": round(took, 3),
        "rows_per_second": round(read.rows_read / max(took, 1e-9)),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale),
        "notes": notes,
    }
    if as_json:
        typer.echo(json.dumps(report))
        return
    for key, value in report.items():
        shown = ", ".join(f"{n:,} {r}" for r, n in value.items() if n) or "none" if isinstance(value, dict) else value
        shown = "; ".join(shown) or "none" if isinstance(shown, list) else shown
        typer.echo(f"{key:16} {shown:,}" if isinstance(shown, int) else f"{key:16} {shown}")


def clear() -> None:
    """Empty the cache and say what that freed."""
    from bench.sources.cache import clear_cache

    entries, size = clear_cache()
    typer.echo(f"removed {entries} cached logs, {size / 1e6:.1f} MB")


def spark(counts: Sequence[int]) -> str:
    """Draw counts as one line of blocks."""
    top = max(*counts, 1)
    return "".join(BLOCKS[min(int(8 * c / top), 7)] if c else " " for c in counts)


def bars(counts: dict[str, int], width: int = 40) -> None:
    """Print labelled counts as bars."""
    top = max(max(counts.values(), default=0), 1)
    for label, n in counts.items():
        typer.echo(f"  {label:>9} {n:>9,} {'█' * round(width * n / top)}")


def adapter_options(adapter: str, sets: Sequence[str], columns: Mapping[str, str] | None = None) -> dict[str, str]:
    """Read ADAPTER.KEY=VALUE items of one adapter, and the named columns of an own log; raise `ConfigError` for what is none."""
    from bench.cli.run import pairs

    if columns and adapter != "events":
        raise ConfigError(f"--{next(iter(columns)).replace('_', '-')} goes with an own log (events); {adapter!r} knows its columns")
    found = dict(columns or {})
    for key, value in pairs(sets).items():
        name, dot, option = key.partition(".")
        if name != adapter or not dot:
            raise ConfigError(f"--set {key}={value}: write {adapter}.KEY=VALUE")
        found[option] = value
    return found
