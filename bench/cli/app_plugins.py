"""`bench list` and `bench plugin`: their commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Files, Folders, Json, Sandboxed, show_help

plugin = typer.Typer(help="Look at plugins.", callback=show_help, invoke_without_command=True)
lists = typer.Typer(help="List names; imports no plugin.", callback=show_help, invoke_without_command=True)


@lists.command("models")
def list_models(
    task: Annotated[str, typer.Option(metavar="TASK", help="Only those that serve it.")] = "",
    plugin_: Files = None,
    plugins_dir: Folders = None,
    as_json: Json = False,
) -> None:
    """List the models: what each serves, which extra it needs, where it comes from."""
    from bench.cli.lists import list_models as show

    show(plugin_ or [], plugins_dir or [], task, as_json=as_json)


@lists.command("datasets")
def list_datasets(plugin_: Files = None, plugins_dir: Folders = None, as_json: Json = False) -> None:
    """List the dataset adapters by name."""
    from bench.cli.lists import list_plugins

    list_plugins("bench.datasets", plugin_ or [], plugins_dir or [], as_json=as_json)


@lists.command("samplers")
def list_samplers(plugin_: Files = None, plugins_dir: Folders = None, as_json: Json = False) -> None:
    """List who may propose the trials of a search, by name."""
    from bench.cli.lists import list_samplers as show

    show(plugin_ or [], plugins_dir or [], as_json=as_json)


@lists.command("tasks")
def list_tasks(as_json: Json = False) -> None:
    """List the tasks, and the options that `--set` takes for each."""
    from bench.cli.lists import list_tasks as show

    show(as_json=as_json)


@lists.command("features")
def list_features(as_json: Json = False) -> None:
    """List the columns that churn models may ask for by name, and what each is."""
    from bench.cli.lists import list_features as show

    show(as_json=as_json)


@lists.command("metrics")
def list_metrics(as_json: Json = False) -> None:
    """List the metrics: which way is better, and what each says."""
    from bench.cli.lists import list_metrics as show

    show(as_json=as_json)


@lists.command("profiles")
def list_profiles(as_json: Json = False) -> None:
    """List the profiles: how many users, rows, steps, epochs, trials and seeds each holds."""
    from bench.cli.lists import list_profiles as show

    show(as_json=as_json)


@plugin.command("list")
def plugin_list(plugin_: Files = None, plugins_dir: Folders = None, as_json: Json = False) -> None:
    """Load every plugin in a child process and show what it offers, or why it fails and what mends it."""
    from bench.cli.lists import check_plugins

    check_plugins(plugin_ or [], plugins_dir or [], as_json=as_json)


@plugin.command("new")
def plugin_new(
    name: Annotated[str, typer.Argument(help="The plugin's name: small letters, digits, '-'.")],
    dataset: Annotated[bool, typer.Option("--dataset", help="An adapter for a data set instead of a model.")] = False,
    task: Annotated[bool, typer.Option("--task", help="A task instead of a model, with two models that serve it.")] = False,
    distribution: Annotated[bool, typer.Option("--distribution", help="A folder to install and publish, with tests.")] = False,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to write it (default: here).")] = Path(),
) -> None:
    """Write a plugin that passes its checks as it stands; nothing that exists is overwritten."""
    from bench.cli.plugins import new
    from bench.errors import ConfigError

    if dataset and task:
        raise ConfigError("--dataset and --task: a plugin is one or the other; give one")
    new(name, to, kind="dataset" if dataset else "task" if task else "model", distribution=distribution)


@plugin.command("check")
def plugin_check(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE", help="An installed plugin's name, or a plugin in a single file.")],
    task: Annotated[str | None, typer.Option(help="One task of those that the model serves (default: all).")] = None,
    sandbox: Sandboxed = "auto",
    as_json: Json = False,
) -> int:
    """Check in a confined child process that a plugin keeps its contract; exit code 1 where it does not."""
    from bench.cli.plugins import check

    return check(what, task, sandbox, as_json=as_json)
