"""The command line put together; each command imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.app_data import data
from bench.cli.app_plugins import lists, plugin
from bench.cli.app_results import board, results
from bench.cli.app_run import runs
from bench.cli.options import Json, show_help

HELP = "Which model, tuned fairly, foresees churn, forecasts or finds anomalies best on your log? Start with: bench run --task churn"

app = typer.Typer(help=HELP, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(runs)
app.add_typer(data, name="data")
app.add_typer(lists, name="list")
app.add_typer(plugin, name="plugin")
app.add_typer(board, name="board")
app.add_typer(results)
machine = typer.Typer()
app.add_typer(machine)


@app.callback(invoke_without_command=True)
def start(ctx: typer.Context, show: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False) -> None:
    """Which model, tuned fairly, foresees churn, forecasts or finds anomalies best on your log? Start with: bench run --task churn."""
    if show:
        import bench

        typer.echo(f"bench {bench.__version__}")
        raise typer.Exit
    show_help(ctx)


@machine.command()
def doctor(
    plugins: Annotated[bool, typer.Option("--plugins", help="Load every plugin too, each in a process of its own: minutes.")] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="Fit each network on CPU and GPU, compare, time several at once: minutes.")] = False,
    address: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Say what each node of a Ray cluster has and lacks.")] = None,
    as_json: Json = False,
) -> None:
    """Show versions, devices, folders and what is missing, with the command that mends it."""
    from bench.cli.doctor import examine, examine_cluster, examine_gpus

    if address is not None:
        examine_cluster(address, as_json=as_json)
    elif gpu:
        examine_gpus()
    else:
        examine(plugins=plugins, as_json=as_json)
