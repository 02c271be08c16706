"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import complete

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Files = Annotated[list[Path] | None, typer.Option("--plugin", metavar="FILE", help="A plugin in a single file; may be repeated.")]
Folders = Annotated[list[Path] | None, typer.Option("--plugins-dir", metavar="DIR", help="A folder of plugin files; may be repeated.")]
Sandboxed = Annotated[str, typer.Option("--sandbox", help="Confine models to their inputs: auto (where possible), on, off.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the task, or ADAPTER.KEY=VALUE.")]
Datasets = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|ADAPTER=PATH",
        help="A registered set, an adapter's simulator, or a path; several with commas, or repeated (default: all).",
        autocompletion=complete.datasets,
    ),
]
Own = Annotated[
    str | None, typer.Option("--data", metavar="FILE", help="Your own log or series: csv, Parquet or JSON lines; its columns follow.")
]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="Run folder (default: runs/TASK-..., found again by the same command).")]
User = Annotated[str | None, typer.Option(metavar="COLUMN", help="The user in your own log (default: guessed, and said).")]
Time = Annotated[str | None, typer.Option(metavar="COLUMN", help="The time in your own log (default: guessed).")]
Kind = Annotated[str | None, typer.Option(metavar="COLUMN", help="The kind of event in your own log, or none.")]
Value = Annotated[str | None, typer.Option(metavar="COLUMN", help="An amount in your own log, or none.")]
Item = Annotated[str | None, typer.Option(metavar="COLUMN", help="The item in your own log, or none.")]
TimeUnit = Annotated[str | None, typer.Option(metavar="s|ms|us|ns", help="Unit of numeric times (default: by size).")]
Zone = Annotated[str | None, typer.Option(metavar="NAME", help="Zone of local times, such as Europe/Berlin (default: UTC).")]
Entity = Annotated[str | None, typer.Option(metavar="COLUMN", help="The entity in your own series, or none: each file is one.")]
Channels = Annotated[
    str | None,
    typer.Option(metavar="COLUMN,COLUMN", help="Columns of several values a step, or all; or the one that names each row's channel."),
]
Label = Annotated[str | None, typer.Option(metavar="COLUMN", help="0 or 1 in your own series, 1 in an anomaly; or none.")]


def columns(**given: str | None) -> dict[str, Any]:
    """Return the columns of an own log that were named, ready to be options of the adapter `events`."""
    return {name: value for name, value in given.items() if value is not None}


def show_help(ctx: typer.Context) -> None:
    """Print the help of a group of commands that was called alone."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
