"""Compare with published numbers and with other libraries, where definitions agree and where the table says that they differ."""

import numpy as np
import polars as pl
import pytest
from metrics.forecast_kit import LEVELS, case

from bench.metrics import forecasting
from bench.metrics.forecasting import by_series, scales

H = 5


@pytest.fixture(scope="module")
def counts():
    """Give 20 series without gaps, in which every scale is defined and every mean lies above the floor."""
    c = case(11, n=20, h=H, steps=30, rate=4.0)
    assert not forecasting.undefined(c.scales).any()
    assert (c.mean > forecasting.FLOOR).all()
    return c


def m4_hourly(folder):
    """Read M4 Hourly: history right-aligned float64 [414, 960], start [414], truth [414, 48]."""
    train, test = (
        pl.read_csv(folder / "m4_hourly" / f"Hourly-{part}.csv", infer_schema=False).drop("V1").cast(pl.Float64)
        for part in ("train", "test")
    )
    rows = [np.array([v for v in row if v is not None]) for row in train.rows()]
    history = np.array([np.pad(row, (960 - len(row), 0)) for row in rows])
    return history, np.array([960 - len(row) for row in rows]), test.to_numpy()


def test_both_naive_forecasts_of_m4_hourly_score_what_was_published(real):
    history, start, y = m4_hourly(real)
    known = scales(history, start, 24)
    naive, seasonal = np.repeat(history[:, -1:], 48, axis=1), np.tile(history[:, -24:], 2)
    assert len(y) == 414
    got = [(forecasting.smape(y, f), forecasting.mase(y, f, known)) for f in (naive, seasonal)]
    # the tables of the M4 organisers (github.com/Mcompetitions/M4-methods)
    np.testing.assert_array_equal(np.round(got, 3), [(43.003, 11.608), (13.912, 1.193)])


def frames(c):
    """Lay a case out as utilsforecast wants it: (forecasts, history); `m` has the intervals."""
    n, h = c.y.shape
    steps = c.history.shape[1]
    columns = {"unique_id": np.repeat(np.arange(n), h), "ds": np.tile(np.arange(h) + steps, n), "y": c.y.ravel()}
    columns |= {"median": c.quantiles[:, :, 4].ravel(), "mean": c.mean.ravel()}
    columns |= {f"q{level}": c.quantiles[:, :, q].ravel() for q, level in enumerate(LEVELS)}
    for width, low, high in ((60, 0.2, 0.8), (80, 0.1, 0.9)):
        columns |= {f"m-lo-{width}": columns[f"q{low}"], f"m-hi-{width}": columns[f"q{high}"]}
    past = {"unique_id": np.repeat(np.arange(n), steps), "ds": np.tile(np.arange(steps), n), "y": c.history.ravel()}
    return pl.DataFrame(columns), pl.DataFrame(past)


@pytest.mark.parametrize(
    ("name", "theirs", "model", "factor"),
    [
        ("mase", "mase", "median", 1),
        ("rmsse", "rmsse", "mean", 1),
        ("smape", "smape", "median", 200),
        ("wape", "wape", "median", 1),
        ("sql", "scaled_mqloss", "quantiles", 2),
        ("wql", "scaled_crps", "quantiles", 1),
        ("poisson_deviance", "tweedie_deviance", "mean", 1),
        ("coverage_60", "coverage", "m", 1),
        ("coverage_80", "coverage", "m", 1),
    ],
)
def test_each_series_scores_what_utilsforecast_gives_it_but_for_the_factor_of_the_table(counts, name, theirs, model, factor):
    from utilsforecast import losses

    test, train = frames(counts)
    options = {
        **({"seasonality": counts.season, "train_df": train} if name in {"mase", "rmsse", "sql"} else {}),
        **({"quantiles": np.array(LEVELS)} if model == "quantiles" else {}),
        **({"power": 1} if theirs == "tweedie_deviance" else {}),
        **({"level": int(name[-2:])} if theirs == "coverage" else {}),
    }
    models = {"quantiles": [f"q{level}" for level in LEVELS]} if model == "quantiles" else [model]
    found = getattr(losses, theirs)(test, models=models, **options).sort("unique_id")[model].cast(pl.Float64).to_numpy()
    np.testing.assert_allclose(by_series(counts.parts)[name], factor * found, rtol=1e-9)
    if name not in {"wape", "wql"}:  # ratios of sums are no means over series
        assert counts.score[name] == pytest.approx(factor * found.mean())


def test_the_bias_has_the_sign_of_utilsforecast_and_the_size_of_y_as_its_unit(counts):
    from utilsforecast import losses

    found = losses.bias(frames(counts)[0], models=["mean"])["mean"].mean()
    assert counts.score["bias"] == pytest.approx(found / counts.y.mean())


def test_gluonts_gives_the_same_where_the_table_says_so(counts):
    from gluonts.ev import metrics
    from gluonts.ev.ts_stats import seasonal_error

    season = np.stack([seasonal_error(row, counts.season) for row in counts.history])
    np.testing.assert_allclose(counts.scales.absolute, season[:, 0])
    data = {"label": counts.y, "mean": counts.mean, "seasonal_error": season}
    data |= {str(level): counts.quantiles[:, :, q] for q, level in enumerate(LEVELS)}

    def found(definition):
        return float(definition(axis=None).update(data).get())

    ours = counts.score
    assert ours["mase"] == pytest.approx(found(metrics.MASE()))
    assert ours["smape"] == pytest.approx(100 * found(metrics.SMAPE()))
    assert ours["wape"] == pytest.approx(found(metrics.ND()))
    assert ours["wql"] == pytest.approx(found(metrics.MeanWeightedSumQuantileLoss(LEVELS)))
    assert ours["sql"] == pytest.approx(np.mean([found(metrics.MeanScaledQuantileLoss(level)) for level in LEVELS]))
    high, low = (found(metrics.Coverage(level)) for level in (0.9, 0.1))
    at_low = np.mean(counts.y == counts.quantiles[:, :, 0])  # a truth that sits on the lower quantile is covered here
    assert ours["coverage_80"] == pytest.approx(high - low + at_low)


def fev(c):
    """Compute fev's MASE, RMSSE, SQL and WQL from their definitions (github.com/autogluon/fev, src/fev/metrics.py)."""
    change = c.history[:, c.season :] - c.history[:, : -c.season]
    absolute, squared = np.abs(change).mean(axis=1)[:, None], (change**2).mean(axis=1)[:, None]
    error = c.y[:, :, None] - c.quantiles
    loss = 2 * np.abs(error * ((error <= 0) - np.array(LEVELS)))
    return {
        "mase": np.nanmean(np.abs(error[:, :, 4]) / absolute),
        "rmsse": np.sqrt(np.nanmean((c.y - c.mean) ** 2 / squared)),
        "sql": np.nanmean(loss.mean(axis=2) / absolute),
        "wql": np.nanmean(loss) / np.nanmean(np.abs(c.y)),
    }


def test_fev_gives_the_same_where_the_table_says_so(counts):
    for name in ("mase", "sql", "wql"):
        assert counts.score[name] == pytest.approx(fev(counts)[name]), name


def test_fev_pools_steps_which_differs_for_a_root_and_for_series_with_gaps(counts):
    assert fev(counts)["rmsse"] > counts.score["rmsse"] * 1.001  # the root of a mean exceeds the mean of roots
    for n in range(3):
        one = counts.take(np.array([n]))
        assert fev(one)["rmsse"] == pytest.approx(one.score["rmsse"])
    gaps = case(11, n=20, h=H, steps=30, rate=4.0, scored=0.5)
    assert fev(gaps)["wql"] == pytest.approx(gaps.score["wql"])
    assert fev(gaps)["mase"] != pytest.approx(gaps.score["mase"], rel=1e-3)


def test_where_others_give_infinity_or_lag_one_a_series_is_left_out_and_told(counts):
    from gluonts.ev.ts_stats import seasonal_error
    from utilsforecast import losses

    history = counts.history.copy()
    history[0], history[1, :-1] = 7, np.nan  # constant; too short for a pair
    odd = scales(history, np.zeros(20, int), counts.season)
    assert forecasting.undefined(odd).tolist() == [True, True, *[False] * 18]
    test, _ = frames(counts)
    _, train = frames(case(11, n=20, h=H, steps=30, rate=0.0))
    assert not losses.mase(test, models=["median"], seasonality=1, train_df=train)["median"].is_finite().any()
    assert seasonal_error(np.array([3.0, 5.0]), 3) == 2
    median = counts.quantiles[:, :, 4]
    left = np.arange(2, 20)
    assert forecasting.mase(counts.y, median, odd) == pytest.approx(forecasting.mase(counts.y[left], median[left], odd.take(left)))
