"""Profiles: one word for how much data, how many epochs and how many trials every model is given."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import ConfigError, suggest


@dataclass(frozen=True)
class Profile:
    """Cap the work, for all models alike; the caps on data and epochs stand in the task id."""

    name: str
    users: int
    """Users that a simulator makes."""
    rows: int | None
    """Most training rows (user-cut-off pairs) of given data; None: all."""
    history: int
    """Longest input of a sequence model, in steps."""
    epochs: int
    trials: int
    seeds: int
    series: int = 20
    """Most series of a simulated log's level; given data is not capped."""
    windows: int = 2
    """Test windows of simulated data."""
    entities: int = 100
    """Most users of a simulated log in an anomaly task."""
    steps: int = 1000
    """Most steps of each of them, the latest."""
    validations: int = 3
    """Past cut-offs, windows or draws that score a configuration, at most."""

    def caps(self) -> str:
        """Format the caps as they stand in a task id."""
        return f"rows={'all' if self.rows is None else self.rows}/history={self.history}/epochs={self.epochs}"


PROFILES = {
    "smoke": Profile(
        "smoke", users=200, rows=300, history=16, epochs=2, trials=2, seeds=1, series=5, windows=1, entities=12, steps=200, validations=2
    ),
    "short": Profile(
        "short", users=1_000, rows=20_000, history=32, epochs=5, trials=4, seeds=1, series=10, windows=1, entities=20, steps=300
    ),
    "medium": Profile(
        "medium", users=3_000, rows=50_000, history=64, epochs=15, trials=20, seeds=3, series=15, windows=2, entities=50, steps=500
    ),
    "full": Profile("full", users=10_000, rows=None, history=256, epochs=50, trials=50, seeds=5),
}


def profile(name: str) -> Profile:
    """Look up a profile; raise `ConfigError` with the likely name."""
    if name not in PROFILES:
        raise ConfigError(f"unknown profile {name!r}; {suggest(name, list(PROFILES))}")
    return PROFILES[name]
