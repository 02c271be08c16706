"""Score forecasts, each metric on the functional that it elicits, for all series and for many weightings of them at once.

Letters for shapes: N rows (a series, or a series in one window), H horizon, Q quantiles, M metrics, B weightings.
Every metric is sum(w x numerator) / sum(w x denominator) over the rows: `parts` lays both out once, `score` weighs them.

What is undefined is nan, which a leaderboard stores as null, and nothing is dropped in silence:
- a series without a usable scale (constant or too short a history) or without a scored step has no MASE, RMSSE and SQL; these
  are means over the series that have one, and `undefined` tells which have none;
- WAPE, WQL and bias are nan where all truth is 0, total WAPE where all totals are; Poisson deviance where any truth is
  negative, drawn or not;
- steps outside `mask` are never looked at; nan or infinity on a scored step is refused with ValueError.

Where other libraries give another number (utilsforecast 0.2.17; gluonts 0.17, `gluonts.ev`; fev, `fev.metrics`, 2025):

| metric | utilsforecast | gluonts | fev |
| --- | --- | --- | --- |
| MASE | equal; inf or nan where constant | pooled; inf where constant, lag 1 where too short | pooled; scale 1 where too short |
| RMSSE | equal; inf or nan where constant | none | root of the pooled mean, not a mean of roots |
| sMAPE | a 200th of ours | a 100th, pooled; 0 / 0 is nan | a 100th, pooled; drops 0 / 0 |
| WAPE | of each series (`wape`, `nd`) | equal (`ND`) | equal, on the point forecast |
| SQL | half of ours (`scaled_mqloss`) | one level at a time (`MeanScaledQuantileLoss`), as MASE | as MASE |
| WQL | of each series (`scaled_crps`) | equal (`MeanWeightedSumQuantileLoss`) | equal |
| bias | mean error, in units of y | none | none |
| Poisson deviance | `tweedie_deviance`, power 1: of each series; refuses forecasts of 0 | none | none |
| coverage | of each series; ends included, as here | share at or below one quantile | none |
| total WAPE | none | none | none |

Pooled: one mean over all steps of all series, equal to ours as long as all series have as many scored steps. "Of each
series": the same formula for one series, as `by_series` gives it. fev leaves out inf and nan unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.ragged import Array
from bench.metrics import _forecast_rows as rows
from bench.metrics._forecast_rows import FLOOR
from bench.metrics.forecast_errors import bias, coverage, mase, poisson_deviance, rmsse, smape, sql, total_wape, wape, wql
from bench.metrics.kinds import Metric
from bench.metrics.quantiles import clipped, mean_from_quantiles, sorted_quantiles
from bench.metrics.scales import Scales, scales, undefined

__all__ = [
    "FLOOR", "METRICS", "Parts", "Scales", "bias", "by_horizon", "by_series", "clipped", "coverage", "mase", "mean_from_quantiles",
    "parts", "poisson_deviance", "rmsse", "scales", "score", "smape", "sorted_quantiles", "sql", "total_wape", "undefined", "wape", "wql",
]  # fmt: skip


def _table() -> dict[str, Metric]:
    table = (
        Metric("mase", False, "MASE", 3, "mean absolute error of the median / that of the seasonal naive forecast in the history"),
        Metric("rmsse", False, "RMSSE", 3, "root mean squared error of the mean / that of the seasonal naive forecast in the history"),
        Metric("smape", False, "sMAPE", 3, "mean of 200 |y - median| / (|y| + |median|), 0 to 200"),
        Metric("wape", False, "WAPE", 3, "sum of absolute errors of the median / sum of |y|"),
        Metric("sql", False, "SQL", 3, "mean quantile loss / error of the seasonal naive forecast in the history"),
        Metric("wql", False, "WQL", 3, "sum of quantile losses / sum of |y|"),
        Metric("bias", False, "bias", 3, "sum of (mean - y) / sum of |y|; best is 0, above it forecasts are too high"),
        Metric("poisson_deviance", False, "Poisson deviance", 3, f"mean of 2 (y log(y / mean) - y + mean), the mean held above {FLOOR}"),
        Metric(
            "coverage_60", True, "coverage of 60 %", 3, "share of y between the quantiles .2 and .8; best is .6, above it they are too wide"
        ),
        Metric(
            "coverage_80", True, "coverage of 80 %", 3, "share of y between the quantiles .1 and .9; best is .8, above it they are too wide"
        ),
        Metric("total_wape", False, "total WAPE", 3, "sum of absolute errors of the horizon's total of the mean / sum of |total of y|"),
    )
    return {metric.name: metric for metric in table}


METRICS: Mapping[str, Metric] = _table()
"""The forecasting metrics by name, in the order in which they are shown; `mase` or `wql` ranks."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What each row adds to each metric, ready for any number of weightings; the order of M is that of `METRICS`."""

    numerator: Array
    """float64 [N, M]."""
    denominator: Array
    """float64 [N, M]: 1 or 0 for a mean over series, |y| for a ratio of sums, scored steps for a pooled mean."""

    def __len__(self) -> int:
        """Return the number of rows, N."""
        return len(self.numerator)

    def score(self, weights: Array) -> dict[str, Array]:
        """Score under `weights` [B, N]: see the function `score`."""
        return score(self, weights)


def parts(y: Array, mask: Array, quantiles: Array, mean: Array, levels: Sequence[float], scales: Scales) -> Parts:
    """Lay out what each row adds to each metric.

    `y`: truth [N, H]. `mask`: bool [N, H], scored. `quantiles`: [N, H, Q], ascending, at `levels`, which hold .1, .2,
    .5, .8 and .9. `mean`: [N, H]. `scales`: one for each row. Raises ValueError for shapes and levels that do not fit,
    and for a number on a scored step that is not finite.
    """
    found = [_row_parts(block) for block in rows.blocks(y, mask, quantiles, mean, levels, scales)]
    return Parts(*(np.concatenate([block[side] for block in found]) for side in (0, 1)))


def _row_parts(block: rows.Block) -> rows.Rows:
    y, mask, mean, at, scales = block.y, block.mask, block.mean, block.at, block.scales
    with np.errstate(over="ignore", invalid="ignore"):  # an exploded forecast scores inf; what is not scored may be anything
        found = {
            "mase": rows.mase(block.error, mask, scales),
            "rmsse": rows.rmsse(y, mean, mask, scales),
            "smape": rows.smape(block.error, block.size, at[0.5], mask),
            "wape": rows.wape(block.error, block.size, mask),
            "sql": rows.sql(block.loss, mask, scales),
            "wql": rows.wql(block.loss, block.size, mask),
            "bias": rows.bias(y, mean, block.size, mask),
            "poisson_deviance": rows.poisson_deviance(y, mean, mask),
            "coverage_60": rows.coverage(y, at[0.2], at[0.8], mask),
            "coverage_80": rows.coverage(y, at[0.1], at[0.9], mask),
            "total_wape": rows.total_wape(y, mean, mask),
        }
    numerator, denominator = (np.stack([found[name][side] for name in METRICS], axis=1) for side in (0, 1))
    return numerator, denominator


def score(parts: Parts, weights: Array) -> dict[str, Array]:
    """Score under `weights`, >= 0 [B, N]; every metric of `METRICS`, float64 [B]; nan where its denominator is 0."""
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 2 or weights.shape[1] != len(parts):
        raise ValueError(f"weights have shape {weights.shape}; expected (B, {len(parts)}), one column for each row")
    both = np.concatenate([parts.numerator, parts.denominator], axis=1)  # [N, 2M]
    with np.errstate(over="ignore", invalid="ignore"):
        # not `@`: BLAS would start threads beside busy workers, and its sums would depend on how many draws stand together
        sums = np.einsum("bn,nm->bm", weights, both)
        values = rows.ratio(sums[:, : len(METRICS)], sums[:, len(METRICS) :])
    return dict(zip(METRICS, values.T, strict=True))


def by_series(parts: Parts) -> dict[str, Array]:
    """Return every metric of each row, float64 [N]; nan where it is undefined."""
    return dict(zip(METRICS, rows.ratio(parts.numerator, parts.denominator).T, strict=True))


def by_horizon(y: Array, mask: Array, quantiles: Array, mean: Array, levels: Sequence[float], scales: Scales) -> dict[str, Array]:
    """Return `mase`, `wape`, `wql` and `coverage_80` of each step ahead, float64 [H]; arguments as in `parts`.

    MASE is the mean of |e| / scale over the series that have a scale and are scored at the step; the mean over steps
    is the MASE of all where every step is scored. nan where a step is not scored or its truth is all 0.
    """
    found = [_ahead(block) for block in rows.blocks(y, mask, quantiles, mean, levels, scales)]
    names, sums = list(found[0]), np.sum([list(block.values()) for block in found], axis=0)  # [4, 2, H]
    return dict(zip(names, rows.ratio(sums[:, 0], sums[:, 1]), strict=True))


def _ahead(block: rows.Block) -> dict[str, rows.Rows]:
    mask, scale = block.mask, block.scales.absolute[:, None]
    known, size = mask & (scale > 0), rows.summed(block.size, mask, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            "mase": (rows.summed(block.error / scale, known, 0), rows.counted(known, 0)),
            "wape": (rows.summed(block.error, mask, 0), size),
            "wql": (rows.summed(block.loss, mask, 0), size),
            "coverage_80": rows.coverage(block.y, block.at[0.1], block.at[0.9], mask, axis=0),
        }
