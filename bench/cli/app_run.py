"""`bench run` and `bench predict`: their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import complete
from bench.cli.options import (
    Channels,
    Datasets,
    Entity,
    Files,
    Folders,
    Item,
    Json,
    Kind,
    Label,
    Out,
    Own,
    Sandboxed,
    Sets,
    Time,
    TimeUnit,
    User,
    Value,
    Zone,
    columns,
)  # fmt: skip

runs = typer.Typer()
Profiles = Annotated[
    str | None, typer.Option(help="smoke, short (default), medium or full; see bench list profiles.", autocompletion=complete.profiles)
]


@runs.command()
def run(
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="A TOML or YAML file with these options as keys.")] = None,
    task: Annotated[
        str | None, typer.Option(help="churn, forecasting, anomaly, or several with commas.", autocompletion=complete.tasks)
    ] = None,
    dataset: Datasets = None,
    source: Annotated[str | None, typer.Option(metavar="PATH", help="Data for the one --dataset given.")] = None,
    own: Own = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What boards call --data (default: the file's name).")] = None,
    user: User = None,
    time: Time = None,
    kind: Kind = None,
    value: Value = None,
    item: Item = None,
    time_unit: TimeUnit = None,
    zone: Zone = None,
    entity: Entity = None,
    channels: Channels = None,
    label: Label = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model; several with commas, or repeated (default: all that serve the task).", autocompletion=complete.models),
    ] = None,
    set_: Sets = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What ranks and steers; see bench list metrics.", autocompletion=complete.metrics),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who proposes trials: tpe (default), or a plugin.", autocompletion=complete.samplers),
    ] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="MODEL.KEY=VALUE", help="Fix a parameter of a model; may be repeated.")] = None,
    space: Annotated[
        list[str] | None, typer.Option(metavar="MODEL.KEY=LOW:HIGH[:log]", help="Narrow a search to a range, or to choices A|B.")
    ] = None,
    time_limit: Annotated[str | None, typer.Option(metavar="30m", help="Bound on the whole run, shared fairly by its cells.")] = None,
    trials: Annotated[int | None, typer.Option(help="Trials of each cell's search (default: by profile).")] = None,
    minutes: Annotated[float | None, typer.Option(help="Bound on each cell's worker minutes, looked at after every trial.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds of each final fit (default: by profile).")] = None,
    seed: Annotated[int | None, typer.Option(help="Base of all seeds (default 0).")] = None,
    profile: Profiles = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes, of each node (default: one a core).")] = None,
    executor: Annotated[str | None, typer.Option(help="Where jobs run: local (default), or ray, on all nodes of a cluster.")] = None,
    address: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Head of the cluster (default: one on this machine).")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda (every GPU), cuda:N or cuda:N,M.")] = None,
    jobs_per_gpu: Annotated[int | None, typer.Option(help="Jobs that share a GPU at once (default: 4 to 8, by its memory).")] = None,
    sandbox: Annotated[str | None, typer.Option(help="Confine models to their inputs: auto (default: where possible), on, off.")] = None,
    job_seconds: Annotated[float | None, typer.Option(help="Bound on one fit and predict (default 600).")] = None,
    job_memory: Annotated[float | None, typer.Option(metavar="GB", help="Bound on one job (default: half of RAM / workers).")] = None,
    no_portfolio: Annotated[bool, typer.Option("--no-portfolio", help="Begin no search with what did well on other logs.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Stop trainings that are far behind; what that saves buys further trials.")
    ] = False,
    out: Out = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Move a run aside that is in the way in --out.")] = False,
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
        "overwrite": overwrite or None, "portfolio": False if no_portfolio else None, "prune": prune or None, "executor": executor,
        "address": address, "jobs_per_gpu": jobs_per_gpu, "params": param, "space": space, "time_limit": time_limit, "name": name,
        "entity": entity, "channels": channels, "label": label, "metric": metric, "sampler": sampler,
    }  # fmt: skip
    return run_command(study, given, as_json=as_json, quiet=quiet)


@runs.command("rerun")
def rerun(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, finished or not.")],
    trials: Annotated[int | None, typer.Option(help="More trials than it had.")] = None,
    seeds: Annotated[int | None, typer.Option(help="More seeds than it had.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes (default: as it had).")] = None,
    out: Out = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; the table alone.")] = False,
) -> int:
    """Run what a run's `run.json` says again: on into its folder, which reuses what is finished, or anew with --out."""
    from bench.cli.run import rerun_command

    given = {"trials": trials, "seeds": seeds, "workers": workers, "out": out}
    return rerun_command(run_folder, {key: value for key, value in given.items() if value is not None}, as_json=as_json, quiet=quiet)


@runs.command("predict")
def predict_new(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    new: Annotated[str, typer.Option("--data", metavar="FILE", help="New data: a path, or ADAPTER=PATH (default: the run's adapter).")],
    model: Annotated[str, typer.Option(help="A model of the run (default: the winner).")] = "",
    dataset: Annotated[str, typer.Option(metavar="NAME", help="The run's data set, where it has several.")] = "",
    family: Annotated[str, typer.Option(metavar="NAME", help="The anomaly family whose board is asked (default: the run's first).")] = "",
    cutoff: Annotated[str | None, typer.Option(metavar="DATE", help="Nothing from here on is known (default: the data's end).")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Keep those who cannot be asked about, with the reason.")] = False,
    user: User = None,
    time: Time = None,
    kind: Kind = None,
    value: Value = None,
    item: Item = None,
    time_unit: TimeUnit = None,
    zone: Zone = None,
    entity: Entity = None,
    channels: Channels = None,
    label: Label = None,
    set_: Sets = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="A .csv or .parquet file (default: CSV on stdout).")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Add the three strongest reasons of each user's P(churn), in words.")] = False,
    sandbox: Sandboxed = "auto",
) -> None:
    """Score new users, forecast on or flag anomalies with a run's winner, without its training data."""
    from bench.cli.predict import predict_command

    own = {"user": user, "time": time, "kind": kind, "value": value, "item": item, "time_unit": time_unit, "zone": zone}
    named = columns(**own, entity=entity, channels=channels, label=label)
    choice = {"model": model, "dataset": dataset, "family": family, "sandbox": sandbox}
    predict_command(run_folder, new, set_ or [], out, **choice, cutoff=cutoff, everybody=everybody, columns=named, explain=explain)
