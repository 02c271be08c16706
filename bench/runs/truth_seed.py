"""`--set truth-seed`: simulated data and injected anomalies of a seed that no plugin can know while it runs.

A simulator makes the same log, its future included, for the same seed, and plugins can import simulators. Where others'
plugins compete on simulated data, `truth-seed=draw` draws the seed in secret; it stands in `run.json` when the run has
ended, and goes with what is published, so that anyone can make the data again and verify the scores.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping

from bench.errors import ConfigError
from bench.runs.config import Config

KEY, DRAW = "truth-seed", "draw"
BITS = 31


def without(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options of tasks and adapters: all others."""
    return {key: value for key, value in options.items() if key != KEY}


def checked(options: Mapping[str, str]) -> None:
    """Raise `ConfigError` where the seed is neither to be drawn nor a number."""
    given = options.get(KEY, DRAW)
    if given != DRAW and not (given.isdecimal() and int(given) < 1 << BITS):
        raise ConfigError(f"--set {KEY}={given}: write {KEY}={DRAW}, or a number below {1 << BITS:,}")


def seed_of(config: Config) -> int:
    """Return the seed of simulated data and of what is injected: that of the run, or its own, drawn once and kept in the folder."""
    given = config.options.get(KEY)
    if given is None:
        return config.seed
    if given != DRAW:
        return int(given)
    file = config.folder() / KEY
    file.parent.mkdir(parents=True, exist_ok=True)
    # readable by nobody else, and never replaced: a run that goes on has the same data
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(str(secrets.randbits(BITS)))
    try:
        return int(file.read_text())
    except ValueError:
        raise ConfigError(f"{file}: holds no seed; remove the run folder, or choose another with --out DIR") from None
