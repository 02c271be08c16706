"""`bench data`: its commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Item, Json, Kind, Sets, Time, TimeUnit, User, Value, Zone, columns, show_help

data = typer.Typer(
    help="Look at data: what there is, what is in it, what reading it costs.", callback=show_help, invoke_without_command=True
)


@data.command("list")
def data_list(as_json: Json = False) -> None:
    """List the adapters and what the cache holds."""
    from bench.cli.data import list_data

    list_data(as_json=as_json)


@data.command("info")
def data_info(
    dataset: Annotated[str, typer.Argument(metavar="ADAPTER[=PATH]|FILE", help="What to look at; a FILE is an own log.")],
    user: User = None,
    time: Time = None,
    kind: Kind = None,
    value: Value = None,
    item: Item = None,
    time_unit: TimeUnit = None,
    zone: Zone = None,
    set_: Sets = None,
    size: Annotated[int, typer.Option(help="Users to simulate, where no path is given.")] = 1000,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Show what a log holds: activity over time, users by activity, gaps, dropped rows."""
    from bench.cli.data import info

    named = columns(user=user, time=time, kind=kind, value=value, item=item, time_unit=time_unit, zone=zone)
    info(dataset, named, set_ or [], size, seed, as_json=as_json)


@data.command("check")
def data_check(
    adapter: Annotated[str, typer.Argument(help="Who reads it; events for an own log.")],
    path: Path,
    user: User = None,
    time: Time = None,
    kind: Kind = None,
    value: Value = None,
    item: Item = None,
    time_unit: TimeUnit = None,
    zone: Zone = None,
    set_: Sets = None,
    as_json: Json = False,
) -> None:
    """Read data once, past the cache, and report counts, dropped rows, rate and memory."""
    from bench.cli.data import check

    named = columns(user=user, time=time, kind=kind, value=value, item=item, time_unit=time_unit, zone=zone)
    check(adapter, path, named, set_ or [], as_json=as_json)


@data.command("add")
def data_add(
    name: Annotated[str, typer.Argument(help="The name that --dataset then takes.")],
    path: Annotated[Path | None, typer.Argument(help="A file or folder.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Who reads it; see bench data list.")] = None,
    set_: Sets = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take NAME off the list; its files stay.")] = False,
    as_json: Json = False,
) -> None:
    """Register a named data set: read it once, and let every default run include it."""
    from bench.cli.sources import add, remove_source

    if remove:
        remove_source(name)
    else:
        add(name, path, adapter, set_ or [], as_json=as_json)


@data.command("fetch")
def data_fetch(
    name: Annotated[str | None, typer.Argument(help="What to download (default: list what there is).")] = None,
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to keep it (default: in the cache folder).")] = None,
    as_json: Json = False,
) -> None:
    """Download a public data set and register it under its name."""
    from bench.cli.sources import fetch_source, list_downloads

    if name is None:
        list_downloads(as_json=as_json)
    else:
        fetch_source(name, to, as_json=as_json)


@data.command("simulate")
def data_simulate(
    adapter: str,
    folder: Path,
    size: Annotated[int, typer.Option(help="Users to simulate.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.", min=0)] = 0,
) -> None:
    """Write a simulated log in an adapter's raw form into a new folder."""
    from bench.cli.sources import simulate

    simulate(adapter, folder, size, seed)


@data.command("clear")
def data_clear() -> None:
    """Empty the cache of logs that were read; the sources are not touched."""
    from bench.cli.data import clear

    clear()
