"""The commands and their options; each imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

HELP = "Which model, tuned fairly, foresees churn, forecasts or finds anomalies best on your log? Start with: bench run --task churn"

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
data = typer.Typer(help="Look at data: what there is, what is in it, what reading it costs.", no_args_is_help=True)
plugin = typer.Typer(help="Look at plugins.", no_args_is_help=True)
lists = typer.Typer(help="List names; imports no plugin.", no_args_is_help=True)
board = typer.Typer(help="Show, compare and export leaderboards.", no_args_is_help=True)
app.add_typer(data, name="data")
app.add_typer(board, name="board")
app.add_typer(plugin, name="plugin")
app.add_typer(lists, name="list")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Files = Annotated[list[Path] | None, typer.Option("--plugin", metavar="FILE", help="A plugin in a single file; may be repeated.")]
Folders = Annotated[list[Path] | None, typer.Option("--plugins-dir", metavar="DIR", help="A folder of plugin files; may be repeated.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the task, or ADAPTER.KEY=VALUE.")]
Datasets = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME|ADAPTER=PATH", help="A registered set, an adapter's simulator, or a path; may be repeated (default: all)."),
]
Own = Annotated[
    str | None, typer.Option("--data", metavar="FILE", help="Your own event log: csv, Parquet or JSON lines; its columns follow.")
]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="Run folder (default: runs/TASK-..., found again by the same command).")]


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False) -> None:
    """Which model, tuned fairly, foresees churn, forecasts or finds anomalies best on your log? Start with: bench run --task churn."""
    if show:
        import bench

        typer.echo(f"bench {bench.__version__}")
        raise typer.Exit


@app.command()
def run(
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY.toml]", help="A file with these options as keys.")] = None,
    task: Annotated[str | None, typer.Option(help="churn, forecasting or anomaly.")] = None,
    dataset: Datasets = None,
    source: Annotated[str | None, typer.Option(metavar="PATH", help="Data for the one --dataset given.")] = None,
    own: Own = None,
    user: Annotated[str | None, typer.Option(metavar="COLUMN", help="The user in --data (default: guessed, and said).")] = None,
    time: Annotated[str | None, typer.Option(metavar="COLUMN", help="The time in --data (default: guessed).")] = None,
    kind: Annotated[str | None, typer.Option(metavar="COLUMN", help="The kind of event in --data, or none.")] = None,
    value: Annotated[str | None, typer.Option(metavar="COLUMN", help="An amount in --data, or none.")] = None,
    item: Annotated[str | None, typer.Option(metavar="COLUMN", help="The item in --data, or none.")] = None,
    time_unit: Annotated[str | None, typer.Option(metavar="s|ms|us|ns", help="Unit of numeric times (default: by size).")] = None,
    zone: Annotated[str | None, typer.Option(metavar="NAME", help="Zone of local times, such as Europe/Berlin (default: UTC).")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model; may be repeated (default: all that serve the task).")] = None,
    set_: Sets = None,
    trials: Annotated[int | None, typer.Option(help="Trials of each cell's search (default: by profile).")] = None,
    minutes: Annotated[float | None, typer.Option(help="Bound on each cell's worker minutes, checked between batches.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds of each final fit (default: by profile).")] = None,
    seed: Annotated[int | None, typer.Option(help="Base of all seeds (default 0).")] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, short (default) or full.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes (default: one a core).")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda or cuda:N.")] = None,
    sandbox: Annotated[str | None, typer.Option(help="Confine models to their inputs: auto (default: where possible), on, off.")] = None,
    job_seconds: Annotated[float | None, typer.Option(help="Bound on one fit and predict (default 600).")] = None,
    job_memory: Annotated[float | None, typer.Option(metavar="GB", help="Bound on one job (default: half of RAM / workers).")] = None,
    out: Out = None,
    plugin_: Files = None,
    plugins_dir: Folders = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; the table alone.")] = False,
) -> int:
    """Tune every model fairly on every data set, and print the leaderboard.

    The table goes to stdout, progress to stderr. The same command continues where it stopped.
    """
    from bench.cli.run import run_command

    given: dict[str, Any] = {
        "task": task, "datasets": dataset, "source": source, "data": own, "user": user, "time": time, "kind": kind,
        "value": value, "item": item, "time_unit": time_unit, "zone": zone, "models": model, "trials": trials, "minutes": minutes,
        "seeds": seeds, "seed": seed, "profile": profile, "workers": workers, "device": device, "sandbox": sandbox,
        "job_seconds": job_seconds, "job_memory": job_memory, "out": out, "plugins": plugin_, "plugins_dirs": plugins_dir, "options": set_,
    }  # fmt: skip
    return run_command(study, given, as_json=as_json, quiet=quiet)


@lists.command("models")
def list_models(plugin_: Files = None, plugins_dir: Folders = None, as_json: Json = False) -> None:
    """List the installed models by name."""
    from bench.cli.lists import list_plugins

    list_plugins("bench.models", plugin_ or [], plugins_dir or [], as_json=as_json)


@lists.command("datasets")
def list_datasets(plugin_: Files = None, plugins_dir: Folders = None, as_json: Json = False) -> None:
    """List the dataset adapters by name."""
    from bench.cli.lists import list_plugins

    list_plugins("bench.datasets", plugin_ or [], plugins_dir or [], as_json=as_json)


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


@data.command("list")
def data_list(as_json: Json = False) -> None:
    """List the adapters and what the cache holds."""
    from bench.cli.data import list_data

    list_data(as_json=as_json)


@data.command("info")
def data_info(
    dataset: Annotated[str, typer.Argument(metavar="ADAPTER[=PATH]")],
    set_: Sets = None,
    size: Annotated[int, typer.Option(help="Users to simulate, where no path is given.")] = 1000,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Show what a log holds: activity over time, users by activity, gaps, dropped rows."""
    from bench.cli.data import info

    info(dataset, set_ or [], size, seed, as_json=as_json)


@data.command("check")
def data_check(adapter: str, path: Path, set_: Sets = None, as_json: Json = False) -> None:
    """Read data once, past the cache, and report counts, dropped rows, rate and memory."""
    from bench.cli.data import check

    check(adapter, path, set_ or [], as_json=as_json)


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


@plugin.command("list")
def plugin_list(plugin_: Files = None, plugins_dir: Folders = None, as_json: Json = False) -> None:
    """Load every plugin in a child process and show what it offers, or why it fails and what mends it."""
    from bench.cli.lists import check_plugins

    check_plugins(plugin_ or [], plugins_dir or [], as_json=as_json)


@plugin.command("new")
def plugin_new(
    name: Annotated[str, typer.Argument(help="The plugin's name: small letters, digits, '-'.")],
    dataset: Annotated[bool, typer.Option("--dataset", help="An adapter for a data set instead of a model.")] = False,
    distribution: Annotated[bool, typer.Option("--distribution", help="A folder to install and publish, with tests.")] = False,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to write it (default: here).")] = Path(),
) -> None:
    """Write a plugin that passes its checks as it stands; nothing that exists is overwritten."""
    from bench.cli.plugins import new

    new(name, to, dataset=dataset, distribution=distribution)


@plugin.command("check")
def plugin_check(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE", help="An installed plugin's name, or a plugin in a single file.")],
    task: Annotated[str | None, typer.Option(help="One task of those that the model serves (default: all).")] = None,
    as_json: Json = False,
) -> int:
    """Check in a child process that a plugin keeps its contract; exit code 1 where it does not."""
    from bench.cli.plugins import check

    return check(what, task, as_json=as_json)


@board.command("show")
def board_show(
    place: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or leaderboard files; several are merged.")],
    all_rows: Annotated[bool, typer.Option("--all", help="Every row, not one a model.")] = False,
    as_json: Json = False,
) -> None:
    """Print leaderboards with their verdicts; over several data sets, a summary too."""
    from bench.cli.board import show
    from bench.cli.run import width

    show(place, all_rows=all_rows, as_json=as_json, width=width())


@board.command("compare")
def board_compare(
    place: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="At least two run folders, or leaderboard files.")],
    as_json: Json = False,
) -> None:
    """Merge several runs, after checks that they may stand together, and print every row."""
    from bench.cli.board import show
    from bench.cli.run import width
    from bench.errors import ConfigError

    if len(place) < 2:
        raise ConfigError("one run cannot be compared; give at least two, or: bench board show RUN")
    show(place, all_rows=True, as_json=as_json, width=width())


@board.command("export")
def board_export(
    place: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or leaderboard files; several are merged.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="A .csv, .parquet or .json file.")],
) -> None:
    """Write all rows to a file."""
    from bench.cli.board import export

    export(place, to)


@app.command("report")
def report_run(run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]) -> None:
    """Write the pages of a run, which open from disk, and print where they begin."""
    from bench.cli.board import report

    report(run_folder)


@app.command("predict")
def predict_new(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    new: Annotated[str, typer.Option("--data", metavar="FILE", help="New data: a path, or ADAPTER=PATH (default: the run's adapter).")],
    model: Annotated[str, typer.Option(help="A model of the run (default: the winner).")] = "",
    dataset: Annotated[str, typer.Option(metavar="NAME", help="The run's data set, where it has several.")] = "",
    family: Annotated[str, typer.Option(metavar="NAME", help="The anomaly family whose board is asked (default: the run's first).")] = "",
    set_: Sets = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="A .csv or .parquet file (default: CSV on stdout).")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Add the three strongest reasons of each user's P(churn), in words.")] = False,
) -> None:
    """Score new users, forecast on or flag anomalies with a run's winner, without its training data."""
    from bench.cli.predict import predict_command

    predict_command(run_folder, new, model, dataset, family, set_ or [], out, explain=explain)


@app.command("publish")
def publish_run(
    run_folder: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a finished run; to retract: also its id.")],
    to: Annotated[str | None, typer.Option(metavar="PLACE", help="A folder, s3://BUCKET/FOLDER, or what else fsspec opens.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    with_figures: Annotated[bool, typer.Option("--with-figures", help="Figures too: they show the last values of few series.")] = False,
    retract: Annotated[bool, typer.Option("--retract", help="Take the run off the board; its files and the reason stay.")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why it is retracted.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="RUN is a place: derive its board and site anew.")] = False,
    sign: Annotated[Path | None, typer.Option(metavar="KEY", help="Sign the run with an SSH key; bench verify names the signer.")] = None,
    as_json: Json = False,
) -> None:
    """Publish a run's rows and predictions, with opaque ids and no raw data, and derive the place's board and site.

    Credentials come from the environment only.
    """
    from bench.cli.publish import publish_command

    publish_command(
        run_folder,
        to,
        dry_run=dry_run,
        with_figures=with_figures,
        retract=retract,
        reason=reason,
        rebuild=rebuild,
        sign=sign,
        as_json=as_json,
    )


@app.command("verify")
def verify_place(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Where bench publish wrote to.")],
    source: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="The data of a published data set; may be repeated.")
    ] = None,
    rerun: Annotated[int, typer.Option(metavar="N", help="Fit N random cells again.")] = 0,
    seed: Annotated[int, typer.Option(help="Draws the cells of --rerun, with a hash of the board.")] = 0,
    head: Annotated[list[str] | None, typer.Option(metavar="DIGEST", help="A head that an earlier verification named.")] = None,
    signers: Annotated[Path | None, typer.Option(metavar="FILE", help="Who may sign, as ssh-keygen's allowed signers.")] = None,
    plugin_: Files = None,
    plugins_dir: Folders = None,
    as_json: Json = False,
) -> int:
    """Check a published board: files, scores made anew from the predictions, random cells run again; exit 3 if any fails."""
    from bench.cli.verify import verify_command

    return verify_command(
        place, source or [], rerun, seed, plugin_ or [], plugins_dir or [], heads=head or [], signers=signers, as_json=as_json
    )


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show versions, devices, folders and plugins, and what is missing."""
    from bench.cli.doctor import examine

    examine(as_json=as_json)
