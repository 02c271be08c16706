"""`bench export`: hand a finished run over to other tools."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from bench.errors import ConfigError

FORMS = ("mlflow", "tensorboard", "optuna", "fev", "croissant")


def export_command(run: Path, given: Mapping[str, str | None]) -> None:
    """Write each form that was asked for and say where it is; raise `ConfigError` where none was."""
    from importlib import import_module

    from bench.export.records import read_records

    wanted = {form: place for form in FORMS if (place := given[form]) is not None}
    if not wanted:
        raise ConfigError(f"nothing to write; add {', '.join(f'--{form}' for form in FORMS)}, each with a place")
    records = read_records(run)
    for form, place in wanted.items():
        write = getattr(import_module(f"bench.export.to_{form}"), f"to_{form}")
        words = write(records, place if form == "mlflow" else Path(place))
        sys.stdout.write(f"{words}\n")
