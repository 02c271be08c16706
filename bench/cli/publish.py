"""`bench publish`: what was done, as one or two lines or as a JSON document."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench.errors import ConfigError


def publish_command(
    run: str,
    to: str | None,
    *,
    dry_run: bool,
    with_figures: bool,
    retract: bool,
    reason: str | None,
    rebuild: bool,
    sign: str | None = None,
    as_json: bool,
) -> None:
    """Publish, retract or rebuild, and say what was done."""
    from bench.publish import publish as actions

    _refuse(to, retract=retract, reason=reason, rebuild=rebuild, dry_run=dry_run)
    if rebuild:
        done, words = actions.rebuild(run), "board and site derived anew"
    elif retract:
        done = actions.retract(run, to or "", reason or "", dry_run=dry_run)
        words = f"run {done.run} {'would be ' if dry_run else ''}retracted; its files and the reason stay"
    else:
        done = actions.publish(Path(run), to or "", dry_run=dry_run, with_figures=with_figures, sign=sign)
        what = f"{done.rows:,} rows and {done.predictions:,} predictions, {done.bytes / 1e6:.1f} MB"
        verb = ("would be published" if dry_run else "published") if done.new else "is published already, nothing is sent"
        words = f"run {done.run} {verb}: {what}"
    if as_json:
        sys.stdout.write(json.dumps({**asdict(done), "dry_run": dry_run}) + "\n")
        return
    if dry_run:
        sys.stdout.writelines(f"{size:>12,}  runs/{done.run}/{name}\n" for name, size in done.files.items())
    older = f"; {done.superseded:,} older rows of the same cells are not shown" if done.superseded else ""
    sys.stdout.write(f"{words}\n{done.place}: {done.board:,} rows on the board{' now' if dry_run else ''}{older}\n")


def _refuse(to: str | None, *, retract: bool, reason: str | None, rebuild: bool, dry_run: bool) -> None:
    if rebuild and (to or retract or dry_run):
        raise ConfigError("--rebuild goes alone with the place: bench publish --rebuild PLACE")
    if not rebuild and not to:
        raise ConfigError("no place is given; write bench publish RUN --to PLACE, a folder or s3://BUCKET/FOLDER")
    if bool(reason) != retract:
        raise ConfigError("--retract and --reason TEXT go together")
