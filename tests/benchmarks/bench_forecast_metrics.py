"""Time all forecasting metrics against utilsforecast's `evaluate` with the losses that correspond, on the same numbers.

Run by hand: `python tests/benchmarks/bench_forecast_metrics.py [series] [history]`. Prints times, ratios and peak memory.

Ours: scales of the history and 11 metrics over 9 quantiles, from arrays. Theirs, from frames that are ready beforehand, polars
and pandas: mase, rmsse, smape, wape, bias, scaled_mqloss, scaled_crps and tweedie_deviance over 8 quantiles (its `evaluate` names
no median), coverage of 60 and 80 %; it has no WAPE of totals. Both on one thread, as a worker runs;
CPU seconds (so that a busy machine changes little), the fastest of three, in turn.
"""

import os

os.environ.update({"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

import math
import resource
import sys
import time
import warnings
from functools import partial

import numpy as np
import polars as pl
from utilsforecast import losses
from utilsforecast.evaluation import evaluate

from bench.metrics.bootstrap import draws
from bench.metrics.forecasting import by_horizon, by_series, parts, scales, score

LEVELS = tuple(k / 10 for k in range(1, 10))
H, SEASON, DRAWS = 28, 7, 1000


def ours(y, quantiles, mean, history):
    known = scales(history, np.zeros(len(y), int), SEASON)
    laid_out = parts(y, np.ones(y.shape, bool), quantiles, mean, LEVELS, known)
    return {name: v[0] for name, v in score(laid_out, np.ones((1, len(y)))).items()}


def details(y, quantiles, mean, history):
    known, mask = scales(history, np.zeros(len(y), int), SEASON), np.ones(y.shape, bool)
    laid_out = parts(y, mask, quantiles, mean, LEVELS, known)
    by_series(laid_out)
    by_horizon(y, mask, quantiles, mean, LEVELS, known)
    for weights in draws(np.arange(len(y)), DRAWS, 0):
        laid_out.score(weights)


def frames(y, quantiles, mean, history):
    n, steps = history.shape
    test = {
        "unique_id": np.repeat(np.arange(n), H),
        "ds": np.tile(np.arange(H) + steps, n),
        "y": y.ravel(),
        "m": quantiles[:, :, 4].ravel(),
    }
    for q, width in enumerate((80, 60, 40, 20)):
        test |= {f"m-lo-{width}": quantiles[:, :, q].ravel(), f"m-hi-{width}": quantiles[:, :, 8 - q].ravel()}
    train = {"unique_id": np.repeat(np.arange(n), steps), "ds": np.tile(np.arange(steps), n), "y": history.ravel()}
    on_mean = pl.DataFrame({name: test[name] for name in ("unique_id", "ds", "y")} | {"m": mean.ravel()})
    return pl.DataFrame(test), on_mean, pl.DataFrame(train)


def theirs(test, on_mean, train):
    warnings.simplefilter("ignore")  # pandas: log of 0 where y is 0
    mase, rmsse, sql = (partial(loss, seasonality=SEASON) for loss in (losses.mase, losses.rmsse, losses.scaled_mqloss))
    deviance = partial(losses.tweedie_deviance, power=1)
    found = [
        evaluate(test, [mase, losses.smape, losses.wape, sql, losses.scaled_crps], ["m"], train, [20, 40, 60, 80], agg_fn="mean"),
        evaluate(on_mean, [rmsse, losses.bias, deviance], ["m"], train, agg_fn="mean"),
        evaluate(test, [losses.coverage], ["m"], level=[60, 80], agg_fn="mean"),
    ]
    return {metric: value for frame in found for metric, value in zip(frame["metric"], frame["m"], strict=True)}


def main():
    n, steps = ([int(arg) for arg in sys.argv[1:]] + [30_000, 56][len(sys.argv) - 1 :])[:2]
    rng = np.random.default_rng(0)
    y, history = (rng.poisson(3, (n, length)).astype(float) for length in (H, steps))
    quantiles = np.sort(rng.gamma(3, 1, (n, H, len(LEVELS))), axis=2)
    data = y, quantiles, quantiles.mean(axis=2), history
    in_polars = frames(*data)
    in_pandas = [frame.to_pandas() for frame in in_polars]
    runs = {"bench": (ours, data), "utilsforecast, polars": (theirs, in_polars), "utilsforecast, pandas": (theirs, in_pandas)}
    took, found = dict.fromkeys(runs, math.inf), {}
    for _ in range(3):
        for name, (run, arguments) in runs.items():
            begun = time.process_time()
            found[name] = run(*arguments)
            took[name] = min(took[name], time.process_time() - begun)
    print(f"{n:,} series x {H} steps x {len(LEVELS)} quantiles, history {steps}")
    for name, seconds in took.items():
        print(f"{name}: {seconds:.3f} s of CPU, {seconds / took['bench']:.1f} times ours")
    begun = time.process_time()
    details(*data)
    print(f"with scores of each series, of each step ahead and of {DRAWS:,} draws: {time.process_time() - begun:.2f} s of CPU")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")
    check(found["bench"], found["utilsforecast, polars"])


def check(mine, other):
    pairs = (("mase", "mase", 1), ("rmsse", "rmsse", 1), ("smape", "smape", 200), ("poisson_deviance", "tweedie_deviance", 1))
    pairs += (("coverage_60", "coverage_level60", 1), ("coverage_80", "coverage_level80", 1))
    for name, theirs_name, factor in pairs:
        assert abs(mine[name] - factor * other[theirs_name]) < 1e-9 * mine[name], name


if __name__ == "__main__":
    main()
