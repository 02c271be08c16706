"""Compute one forecasting metric at a time, as a plain number.

Letters for shapes: N rows (series), H horizon, Q quantiles. Everywhere: `y`, truth, float [N, H]; `mask`, bool [N, H], the
steps that are scored (None: all); `Scales`, one for each row. The result is nan where it is undefined, as
`bench.metrics.forecasting` tells; ValueError for shapes that do not fit and for numbers on a scored step that are not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.data.ragged import Array
from bench.metrics import _forecast_rows as rows
from bench.metrics.quantiles import quantile_loss
from bench.metrics.scales import Scales


def mase(y: Array, median: Array, scales: Scales, mask: Array | None = None) -> float:
    """Return the mean absolute scaled error: mean over series of mean_h |y - median| / scale; `median` [N, H].

    The scale is the mean |y_t - y_{t-m}| of the history. Sources: Hyndman and Koehler (2006); Makridakis et al. (2020, M4).
    """
    return _value(lambda y, mask: rows.mase(np.abs(y - median), mask, rows.usable(scales, y)), y, mask, median=median)


def rmsse(y: Array, mean: Array, scales: Scales, mask: Array | None = None) -> float:
    """Return the root mean squared scaled error: mean over series of sqrt(mean_h (y - mean)^2 / scale); `mean` [N, H].

    The scale is the mean (y_t - y_{t-m})^2 of the history. Source: Makridakis et al. (2022, M5, m = 1), there weighted by sales.
    """
    return _value(lambda y, mask: rows.rmsse(y, mean, mask, rows.usable(scales, y)), y, mask, mean=mean)


def smape(y: Array, median: Array, mask: Array | None = None) -> float:
    """Return the symmetric percentage error, 0 to 200: mean over series of mean_h 200 |y - median| / (|y| + |median|).

    `median`: [N, H]. A step where both are 0 counts as 0. Source: Makridakis et al. (2020, M4), which takes positive data.
    """
    return _value(lambda y, mask: rows.smape(np.abs(y - median), np.abs(y), median, mask), y, mask, median=median)


def wape(y: Array, median: Array, mask: Array | None = None) -> float:
    """Return the sum of |y - median| over all steps of all series, relative to the sum of |y|; `median` [N, H].

    Source: Kolassa and Schuetz (2007), as MAE / mean; also called ND.
    """
    return _value(lambda y, mask: rows.wape(np.abs(y - median), np.abs(y), mask), y, mask, median=median)


def sql(y: Array, quantiles: Array, levels: Sequence[float], scales: Scales, mask: Array | None = None) -> float:
    """Return the scaled quantile loss: mean over series of mean_h mean_q (2 x pinball loss) / scale.

    `quantiles`: [N, H, Q] at `levels`; the scale is that of MASE, which SQL equals where .5 is the only level.
    Source: Shchur et al. (2025, fev); Makridakis et al. (2022, M5 uncertainty), without the factor 2.
    """

    def found(y: Array, mask: Array) -> rows.Rows:
        return rows.sql(quantile_loss(y, quantiles, levels), mask, rows.usable(scales, y))

    return _value(found, y, mask, quantiles=quantiles)


def wql(y: Array, quantiles: Array, levels: Sequence[float], mask: Array | None = None) -> float:
    """Return the sum of mean_q (2 x pinball loss) over all steps of all series, relative to the sum of |y|.

    `quantiles`: [N, H, Q] at `levels`. It equals WAPE where .5 is the only level. Sources: Shchur et al. (2025, fev);
    Alexandrov et al. (2020, gluonts: `MeanWeightedSumQuantileLoss`).
    """
    return _value(lambda y, mask: rows.wql(quantile_loss(y, quantiles, levels), np.abs(y), mask), y, mask, quantiles=quantiles)


def bias(y: Array, mean: Array, mask: Array | None = None) -> float:
    """Return the sum of (mean - y) relative to the sum of |y|; above 0 the forecasts, `mean` [N, H], are too high.

    Source: the sign is that of utilsforecast's `bias`, the denominator that of WAPE.
    """
    return _value(lambda y, mask: rows.bias(y, mean, np.abs(y), mask), y, mask, mean=mean)


def poisson_deviance(y: Array, mean: Array, mask: Array | None = None) -> float:
    """Return the mean over all scored steps of 2 (y log(y / f) - y + f), f = max(mean, `FLOOR`), y log y = 0 at 0.

    `mean`: [N, H], in events per step. nan where any y is negative. A forecast of 0 that is right costs 2 x FLOOR.
    Source: McCullagh and Nelder (1989), 2.3.
    """
    return _value(lambda y, mask: rows.poisson_deviance(y, mean, mask), y, mask, mean=mean)


def coverage(y: Array, low: Array, high: Array, mask: Array | None = None) -> float:
    """Return the share of scored steps with low <= y <= high, both [N, H]; the quantiles .1 and .9 should cover .8.

    The ends count, so counts that sit on a quantile are covered: on sparse data expect more than the nominal share.
    Source: Gneiting and Raftery (2007), on central prediction intervals.
    """
    return _value(lambda y, mask: rows.coverage(y, low, high, mask), y, mask, low=low, high=high)


def total_wape(y: Array, mean: Array, mask: Array | None = None) -> float:
    """Return the sum over series of |sum_h mean - sum_h y|, relative to the sum of |sum_h y|; `mean` [N, H].

    Only scored steps enter the totals. It is WAPE on the total of the horizon: what a plan of the whole period sees.
    """
    return _value(lambda y, mask: rows.total_wape(y, mean, mask), y, mask, mean=mean)


def _value(found: Callable[[Array, Array], rows.Rows], y: Array, mask: Array | None, **forecasts: Array) -> float:
    y, mask = rows.checked(y, mask, **forecasts)
    with np.errstate(over="ignore", invalid="ignore"):
        numerator, denominator = found(y, mask)
        return float(rows.ratio(numerator.sum(keepdims=True), denominator.sum(keepdims=True))[0])
