"""What the tests of the forecasting baselines share: panels, real series, scores, and the contract that all must keep."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Context, Model
from bench.data.panel import DAY, Forecast, Panel, calendar, filled

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
CTX = Context(quantiles=LEVELS, horizon=10)
MEDIAN = LEVELS.index(0.5)
TRILLION = 1e12


def panel_of(rows: Sequence[Any], season: int = 7, horizon: int = 10, *, counts: bool = False) -> Panel:
    """Right-align daily series of any lengths; NaN is a missing step."""
    steps = max(map(len, rows))
    grid = np.full((len(rows), steps), np.nan)
    for row, own in zip(grid, rows, strict=True):
        row[steps - len(own) :] = own
    values, mask, start = filled(grid)
    number = np.arange(steps + horizon)[None]
    time = number * DAY + 15_000 * DAY
    return Panel(
        values=values,
        mask=mask,
        start=start,
        until=np.full(len(rows), steps),
        time=time,
        known=calendar(time, number, season, DAY),
        freq="1d",
        season=season,
        horizon=horizon,
        counts=counts,
    )


def awkward(*, counts: bool = False) -> Panel:
    """Hold all that a log may: no history, next to none, constants, zeros, gaps, 1e12, negatives, one series 1,000 times longer."""
    rng = np.random.default_rng(0)
    gappy = np.where(rng.random(80) < 0.6, np.nan, rng.poisson(3, 80))
    rows = [
        *([], [3.0], [3.0, 4.0], [5.0, 0.0, 7.0], [2.0, 9.0, 4.0, 4.0, 6.0]),
        np.full(60, 5.0),
        np.full(60, 0.1),
        np.zeros(60),
        gappy,
        np.where(np.arange(80) < 40, gappy, np.nan),
        TRILLION * rng.random(60),
        TRILLION + rng.random(60),
        np.where(np.arange(60) == 3, TRILLION, 1.0),
        rng.normal(-50, 10, 60),
        np.where(np.arange(60) % 20 == 5, 1.0, 0.0),
        np.arange(60.0) ** 2,
        rng.poisson(4, 6000),
    ]
    return panel_of([np.abs(row) for row in rows] if counts else rows, counts=counts)


def ordinary(n: int = 12, steps: int = 90, *, seed: int = 1, counts: bool = False) -> Panel:
    """Hold series with a weekly cycle that begin at different steps; a few steps are missing."""
    rng = np.random.default_rng(seed)
    week = 1 + 0.5 * np.sin(2 * np.pi * np.arange(steps) / 7)
    values = rng.poisson(rng.gamma(2, 3, (n, 1)) * week).astype(float) if counts else rng.gamma(4, 5, (n, steps)) * week
    values[rng.random(values.shape) < 0.05] = np.nan
    return panel_of([row[rng.integers(0, steps // 2) :] for row in values], counts=counts)


def fitted(model: type[Model], train: Panel, ctx: Context = CTX, **params: Any) -> Model:
    made = model({**model.default(), **params})
    made.fit(train, ctx)
    return made


def forecast(model: type[Model], given: Panel, ctx: Context = CTX) -> Forecast:
    return fitted(model, given, ctx).predict(given, ctx)


def assert_contract(answer: Forecast, given: Panel, levels: tuple[float, ...] = LEVELS) -> None:
    """Check shapes, that all is finite, that quantiles rise, and that counts are not negative."""
    assert answer.quantiles.shape == (len(given), given.horizon, len(levels))
    assert np.isfinite(answer.quantiles).all()
    assert (np.diff(answer.quantiles, axis=-1) >= -1e-9 * np.abs(answer.quantiles[..., 1:])).all()
    assert answer.mean is not None
    assert answer.mean.shape == (len(given), given.horizon)
    assert np.isfinite(answer.mean).all()
    if given.counts:
        assert (answer.quantiles >= 0).all()
        assert (answer.mean >= 0).all()
    if answer.fallback is not None:
        assert answer.fallback.dtype == bool
        assert answer.fallback.shape == (len(given),)


def assert_independent(model: Model, given: Panel, ctx: Context = CTX) -> None:
    """Check that a series gets the same forecast alone, among others, and in another order."""
    together, order = model.predict(given, ctx), np.random.default_rng(2).permutation(len(given))
    shuffled = model.predict(given.take(order), ctx)
    np.testing.assert_allclose(shuffled.quantiles, together.quantiles[order], rtol=1e-9)
    np.testing.assert_allclose(shuffled.mean, together.mean[order], rtol=1e-9)
    for row in range(0, len(given), 4):
        alone = model.predict(given.take(np.array([row])), ctx)
        np.testing.assert_allclose(alone.quantiles[0], together.quantiles[row], rtol=1e-9)


def assert_untouched(model: type[Model], given: Panel) -> None:
    """Check that nothing in a panel is written to."""
    frozen = replace(given, **{name: getattr(given, name).copy() for name in ("values", "mask", "start", "until", "time", "known")})
    for name in ("values", "mask", "start", "until", "time", "known"):
        getattr(frozen, name).flags.writeable = False
    answer = forecast(model, frozen)
    assert not np.shares_memory(answer.quantiles, frozen.values)


def assert_saved(model: Model, given: Panel, folder: Path) -> None:
    """Check that a saved model forecasts the same, from files without pickles."""
    model.save(folder)
    again = type(model)(model.params)
    again.load(folder)
    assert (again.predict(given, CTX).quantiles == model.predict(given, CTX).quantiles).all()
    assert {path.suffix for path in folder.iterdir()} <= {".npz", ".txt", ".json"}


def m4_hourly(real: Path) -> tuple[Panel, np.ndarray]:
    """Read the 414 hourly series of M4 as a panel, and the 48 values that follow each, [414, 48]."""
    rows = {}
    for part in ("train", "test"):
        with (real / "m4_hourly" / f"Hourly-{part}.csv").open(newline="") as file:
            lines = list(csv.reader(file))[1:]
        rows[part] = [np.array([float(cell) for cell in line[1:] if cell]) for line in lines]
    return panel_of(rows["train"], season=24, horizon=48), np.stack(rows["test"])


def smape(guess: np.ndarray, truth: np.ndarray) -> float:
    """Give M4's sMAPE, 0 to 200."""
    return float(np.mean(200 * np.abs(guess - truth) / (np.abs(guess) + np.abs(truth))))


def mase(guess: np.ndarray, truth: np.ndarray, given: Panel) -> float:
    """Give M4's MASE: errors over the mean absolute seasonal difference of each series' past."""
    past = [given.series(n) for n in range(len(given))]
    scale = np.array([np.abs(y[given.season :] - y[: -given.season]).mean() for y in past])
    return float((np.abs(guess - truth).mean(axis=1) / scale).mean())
