"""`bench data`: look at a log before running on it."""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from bench.errors import ConfigError, DataError
from bench.registry import discover

BLOCKS = "▁▂▃▄▅▆▇█"


def list_data(*, as_json: bool) -> None:
    """List adapters with their cards, and the cached logs."""
    from bench.cache import cache_entries, cache_folder
    from bench.cli.lists import show_columns

    registry = discover()
    adapters = [registry.dataset(n) for n in registry.names("bench.datasets") if n not in registry.broken["bench.datasets"]]
    rows = [{"adapter": a.name, "simulator": a.simulated_name or "-", "licence": a.card.licence, "title": a.card.title} for a in adapters]
    cached = [
        {"cached": e.name or "damaged", "events": e.events, "MB": round(e.bytes / 1e6, 1), "source": e.source} for e in cache_entries()
    ]
    if as_json:
        typer.echo(json.dumps({"adapters": rows, "cached": cached, "folder": str(cache_folder())}))
        return
    show_columns(rows)
    typer.echo(f"\ncache {cache_folder()}")
    show_columns(cached)


def info(dataset: str, sets: Sequence[str], size: int, seed: int, *, as_json: bool) -> None:
    """Describe one log in the terminal."""
    from bench.datasets import loaded, requested

    registry = discover()
    request = requested([dataset], None, registry)[0]
    data = loaded(request, registry, _options(request.adapter, sets), size=size, seed=seed)
    facts = describe(data.events)
    if as_json:
        typer.echo(json.dumps({"name": data.name, "simulated": data.simulated, "fingerprint": data.fingerprint, **facts}, default=str))
        return
    card = data.adapter.card
    typer.echo(f"{data.name}{' (simulated)' if data.simulated else ''}: {card.title}")
    typer.echo(f"licence {card.licence}; source {card.source}")
    typer.echo(f"{facts['events']:,} events, {facts['users']:,} users, {facts['items']:,} items, {facts['first']} to {facts['last']}")
    typer.echo("kinds " + ", ".join(f"{kind} {n:,}" for kind, n in facts["kinds"].items()))
    typer.echo(f"dropped of {facts['rows_read']:,} rows: " + (", ".join(f"{n:,} {r}" for r, n in facts["dropped"].items() if n) or "none"))
    typer.echo(f"\nactivity over time, {facts['first']} to {facts['last']}\n{spark(facts['activity'])}")
    for name, words in (("users_by_active_days", "users by active days"), ("gaps_days", "days between active days")):
        typer.echo(f"\n{words}")
        bars(facts[name])
    for trap in card.traps:
        typer.echo(f"beware: {trap}")
    typer.echo(f"fingerprint {data.fingerprint}")


def check(adapter: str, path: Path, sets: Sequence[str], *, as_json: bool) -> None:
    """Read past the cache once; report counts, rate and the peak of this process's memory."""
    registry = discover()
    reader = registry.dataset(adapter)
    if not path.exists():
        raise DataError(f"no file or folder {path}; check the path")
    form = reader.detect(path)
    began = time.perf_counter()
    events = reader.read(path, _options(adapter, sets))
    took = time.perf_counter() - began
    scale = 1024**2 if sys.platform == "darwin" else 1024
    report: dict[str, Any] = {
        "name": events.name,
        "form": form,
        "rows_read": events.rows_read,
        "events": len(events),
        "users": events.users,
        "dropped": dict(events.cleaning),
        "seconds": round(took, 3),
        "rows_per_second": round(events.rows_read / max(took, 1e-9)),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale),
    }
    if as_json:
        typer.echo(json.dumps(report))
        return
    for key, value in report.items():
        shown = ", ".join(f"{n:,} {r}" for r, n in value.items() if n) or "none" if isinstance(value, dict) else value
        typer.echo(f"{key:16} {shown:,}" if isinstance(shown, int) else f"{key:16} {shown}")


def clear() -> None:
    """Empty the cache and say what that freed."""
    from bench.cache import clear_cache

    entries, size = clear_cache()
    typer.echo(f"removed {entries} cached logs, {size / 1e6:.1f} MB")


def describe(events: Any) -> dict[str, Any]:
    """Compute what `info` shows: counts, weekly activity, users by active days, gaps between active days."""
    import numpy as np
    import polars as pl

    frame = events.frame
    time_ = frame["time"]
    days = (
        frame.filter(pl.col("kind").cast(pl.String).is_in(list(events.activity)))
        .select("user", day=pl.col("time").dt.date())
        .unique()
        .sort("user", "day")
    )
    gaps = days.with_columns(gap=pl.col("day").diff().over("user").dt.total_days())["gap"].drop_nulls().to_numpy()
    per_user = days.group_by("user").len()["len"].to_numpy()
    span = np.histogram(time_.to_physical().to_numpy(), bins=60)[0]
    return {
        "events": len(events),
        "users": events.users,
        "items": frame["item"].drop_nulls().n_unique(),
        "kinds": dict(frame.group_by("kind").len().sort("len", descending=True).select(pl.col("kind").cast(pl.String), "len").iter_rows()),
        "first": time_.min().date().isoformat(),
        "last": time_.max().date().isoformat(),
        "rows_read": events.rows_read,
        "dropped": dict(events.cleaning),
        "activity": span.tolist(),
        "users_by_active_days": _binned(per_user, (1, 2, 3, 5, 10, 20, 50, 100)),
        "gaps_days": _binned(gaps, (1, 2, 7, 14, 28, 56, 91, 182)),
    }


def spark(counts: Sequence[int]) -> str:
    """Draw counts as one line of blocks."""
    top = max(*counts, 1)
    return "".join(BLOCKS[min(int(8 * c / top), 7)] if c else " " for c in counts)


def bars(counts: dict[str, int], width: int = 40) -> None:
    """Print labelled counts as bars."""
    top = max(max(counts.values(), default=0), 1)
    for label, n in counts.items():
        typer.echo(f"  {label:>9} {n:>9,} {'█' * round(width * n / top)}")


def _binned(values: Any, edges: Sequence[int]) -> dict[str, int]:
    import numpy as np

    counts = np.histogram(values, bins=[*edges, np.inf])[0]
    labels = [f"{a}" if b == a + 1 else f"{a}-{b - 1}" for a, b in itertools.pairwise(edges)] + [f"{edges[-1]}+"]
    return {label: int(n) for label, n in zip(labels, counts, strict=True)}


def _options(adapter: str, sets: Sequence[str]) -> dict[str, str]:
    from bench.cli.run import pairs

    found = {}
    for key, value in pairs(sets).items():
        name, dot, option = key.partition(".")
        if name != adapter or not dot:
            raise ConfigError(f"--set {key}={value}: write {adapter}.KEY=VALUE")
        found[option] = value
    return found
