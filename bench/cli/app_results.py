"""What is done with finished runs: `bench board`, `report`, `publish` and `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Files, Folders, Json, Sandboxed, show_help

board = typer.Typer(help="Show, compare and export leaderboards.", callback=show_help, invoke_without_command=True)
results = typer.Typer()


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


@results.command("export")
def export_run(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    mlflow: Annotated[str | None, typer.Option(metavar="DIR|URI", help="Rows and trials as runs of MLflow.")] = None,
    tensorboard: Annotated[str | None, typer.Option(metavar="DIR", help="Scores and searches as TensorBoard events.")] = None,
    optuna: Annotated[str | None, typer.Option(metavar="FILE", help="Searches as a SQLite file for optuna-dashboard.")] = None,
    fev: Annotated[str | None, typer.Option(metavar="DIR", help="Forecasts and their summaries as fev reads them.")] = None,
    croissant: Annotated[str | None, typer.Option(metavar="DIR", help="A Croissant description of each data set.")] = None,
) -> None:
    """Hand a finished run over to other tools, each in its own form."""
    from bench.cli.export import export_command

    export_command(run_folder, {"mlflow": mlflow, "tensorboard": tensorboard, "optuna": optuna, "fev": fev, "croissant": croissant})


@results.command("report")
def report_run(run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]) -> None:
    """Write the pages of a run, which open from disk, and print where they begin."""
    from bench.cli.board import report

    report(run_folder)


@results.command("publish")
def publish_run(
    run_folder: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a finished run; to retract: also its id.")],
    to: Annotated[str | None, typer.Option(metavar="PLACE", help="A folder, s3://BUCKET/FOLDER, or what else fsspec opens.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    with_figures: Annotated[
        bool, typer.Option("--with-figures", help="Figures of single series too: they show the last values of a few.")
    ] = False,
    retract: Annotated[bool, typer.Option("--retract", help="Take the run off the board; its files and the reason stay.")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why it is retracted.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="RUN is a place: derive its board and site anew.")] = False,
    sign: Annotated[
        str | None, typer.Option(metavar="KEY", help="Sign the run with an SSH key, or by sigstore; bench verify names the signer.")
    ] = None,
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


@results.command("verify")
def verify_place(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Where bench publish wrote to.")],
    source: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="The data of a published data set; may be repeated.")
    ] = None,
    rerun: Annotated[int, typer.Option(metavar="N", help="Fit N random cells again.")] = 0,
    seed: Annotated[int, typer.Option(help="Draws the cells of --rerun, with a hash of the board.")] = 0,
    head: Annotated[list[str] | None, typer.Option(metavar="DIGEST", help="A head that an earlier verification named.")] = None,
    signers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who may sign: ssh-keygen's allowed signers, sigstore IDENTITY ISSUER.")
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Keep in PLACE what was found; its first page tells.")] = False,
    sign: Annotated[str | None, typer.Option(metavar="KEY", help="Sign the record with an SSH key, or by sigstore.")] = None,
    plugin_: Files = None,
    plugins_dir: Folders = None,
    sandbox: Sandboxed = "auto",
    as_json: Json = False,
) -> int:
    """Check a published board: files, scores made anew from the predictions, random cells run again; exit 3 if any fails."""
    from bench.cli.verify import verify_command

    more = {"sources": source or [], "seed": seed, "heads": head or [], "sandbox": sandbox}
    keep = (record, sign)
    return verify_command(place, plugin_ or [], plugins_dir or [], rerun=rerun, signers=signers, keep=keep, as_json=as_json, **more)
