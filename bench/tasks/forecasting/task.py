"""The forecasting task, version 1: quantiles of the next H steps of many series, at cut-offs that all series share.

Test windows lie end to end at the log's end, validation before them. `fit` sees what lies before the first cut-off of
its stage, once; each cut-off is a `predict` call of its own, in order, and what lies between two cut-offs is handed
over only when the forecasts of the first are stored. Letters: N series, W windows, H horizon, Q quantiles, R scored rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import polars as pl

from bench.api import hookimpl
from bench.data.events import Events
from bench.data.ragged import Array
from bench.data.series import Series
from bench.metrics import forecasting as metrics
from bench.metrics.kinds import Metric
from bench.tasks import ranked_by, validations
from bench.tasks.base import (
    OLDER,
    RESEEDED,
    Arrays,
    Ensembles,
    Finished,
    InferenceInputs,
    ModelResult,
    Objective,
    Prediction,
    RankingRule,
    Scorer,
    Split,
    Stage,
    StageName,
    Task,
    weighted_median,
)
from bench.tasks.clock import format_time
from bench.tasks.forecasting import new_data
from bench.tasks.forecasting.figures import collect
from bench.tasks.forecasting.plan import Plan, choose
from bench.tasks.grid import Grid, begun, chosen, from_events, from_series
from bench.tasks.profiles import Profile
from bench.tasks.ranked_by import as_wanted

DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
TAILS = (0.95, 0.99)
"""Asked for beside the deciles at level `user`: what stock, or capacity, is planned by."""
FEW = 8
"""Below so many series, blocks of steps are resampled instead of series; with fewer blocks than this nothing ranks."""
WHOLE = ("mase", "rmsse", "smape", "sql", "total_wape")
"""Metrics that are no ratio of sums over steps."""
RANKINGS = {
    "user": RankingRule("wql", higher=False, reference="climatology", penalty=1e9, second="total_wape", also=("smape",)),
    "": RankingRule("mase", higher=False, reference="seasonal-naive", penalty=1e9, second="wql", also=("smape",)),
}
"""By whether the series are sparse (`user`): there MASE would rank the forecast of nothing but zeros first."""
PROPER = {"": ("mase", "sql", "wql", "rmsse"), "user": ("wql", "sql", "rmsse")}
"""What may rank, by the same."""


@dataclass(frozen=True)
class Windows:
    """The truth of one stage; it stays in the supervisor."""

    y: Array
    """float64 [W, N, H]; NaN where nothing is known."""
    scales: metrics.Scales
    """Of the N series, from what lies before the stage's first cut-off."""
    grid: Grid
    """The whole of the data, for what is drawn when the run is over."""
    cutoffs: tuple[int, ...]
    pieces: int
    """Blocks that each window is cut into for resampling: 1 with enough series."""

    @property
    def group(self) -> Array:
        """Return the unit of resampling of each scored row, int64 [R], rows as in `rows`."""
        windows, n, _ = self.y.shape
        if self.pieces == 1:
            return np.tile(np.arange(n), windows)
        return np.arange(windows * n * self.pieces)

    def rows(self, prediction: Prediction, levels: tuple[float, ...]) -> metrics.Parts:
        """Lay out what each row adds to the metrics: rows are window by window, block by block, series by series."""
        blocks = np.array_split(np.arange(self.y.shape[2]), self.pieces)
        found = []
        for y, p in zip(self.y, prediction, strict=True):
            whole, *pieces = (
                metrics.parts(y[:, b], np.isfinite(y[:, b]), p["quantiles"][:, b], p["mean"][:, b], levels, self.scales)
                for b in (slice(None), *(blocks if self.pieces > 1 else ()))
            )
            found.append(_shared(whole, pieces) if pieces else whole)
        return _stacked(found)


@dataclass(frozen=True)
class Scored:
    """One prediction's rows, ready for any weights."""

    parts: metrics.Parts

    def score(self, weights: Array) -> Mapping[str, Array]:
        """Score under `weights` [B, R]."""
        return metrics.score(self.parts, weights)


class Forecasting(Task):
    """The forecasting task as the runner sees it."""

    name: ClassVar[str] = "forecasting"
    holds: ClassVar[tuple[str, ...]] = ("events", "series")
    metrics: ClassVar[Mapping[str, Metric]] = metrics.METRICS
    rankings: ClassVar[Mapping[str, RankingRule]] = RANKINGS
    proper: ClassVar[Mapping[str, tuple[str, ...]]] = PROPER
    unit: ClassVar[str] = "series"
    ensembles: ClassVar[Ensembles] = "few"
    settable: ClassVar[tuple[str, ...]] = ("freq",)
    options: ClassVar[Mapping[str, str]] = {
        "horizon": "steps to forecast (14), or a duration that the frequency divides (14d); default by frequency",
        "level": "what a log is counted by: item (default), total, kind, user, or any column",
        "series": "most series of a log, those with the most events before the test, or all (default 20; of users all)",
        "freq": "step: D (default for logs), h, W, MS, QS, YS or 15min; given series tell their own",
        "season": "steps of the main cycle (default by frequency: D 7, h 24, W 52, MS 12)",
        "target": "count (of events, default) or sum (of their values)",
        "start": "first (default): a member begins with its first event; global: zeros before it count",
        "windows": "number of test windows (default 2)",
        validations.OPTION: validations.HELP,
        ranked_by.OPTION: ranked_by.help_of(PROPER),
    }

    def splits(self, data: Events | Series, options: Mapping[str, str], profile: Profile, seed: int, *, simulated: bool) -> list[Split]:
        """Lay the data on a grid and cut it at the cut-offs; `seed` changes nothing."""
        grid = from_events(data, options) if isinstance(data, Events) else from_series(data, options)
        plan = choose(data, grid, options, profile, simulated=simulated)
        if isinstance(data, Events):
            grid = begun(chosen(grid, plan.level, plan.test[0], plan.most), plan.start)
        made = split_of(grid, plan, profile)
        return [as_wanted(made, options, PROPER["user" if made.ranking is RANKINGS["user"] else ""], metrics.METRICS)]

    def invalid(self, split: Split, stage: StageName, part: int, arrays: Arrays) -> str:
        """Describe what is wrong with a forecast: quantiles [N, H, Q], mean [N, H] where given, all finite."""
        if not {"quantiles", "fallback"} <= set(arrays) <= {"quantiles", "fallback", "mean"}:
            given = "an array" if set(arrays) == {"prediction"} else f"{', '.join(sorted(arrays))} and no more"
            return f"predict returned {given}, expected bench.Forecast(quantiles [N, H, Q], mean [N, H])"
        n, horizon = split.truths[stage].y.shape[1:]
        levels = split.context["quantiles"]
        wanted = {"quantiles": (n, horizon, len(levels)), "mean": (n, horizon), "fallback": (n,)}
        for name, array in arrays.items():
            if array.shape != wanted[name]:
                return f"predict returned {name} of shape {list(array.shape)}, expected {list(wanted[name])}"
            if array.dtype.kind != ("b" if name == "fallback" else "f"):
                return f"predict returned {name} of {array.dtype}, expected {'booleans' if name == 'fallback' else 'floats'}"
            if not np.isfinite(array).all():
                return f"predict returned {int((~np.isfinite(array)).sum())} values of {name} that are not finite, of {array.size}"
        return ""

    def finished(self, split: Split, stage: StageName, prediction: Prediction, *, causal: bool) -> Finished:
        """Sort the quantiles, integrate a missing mean and clip counts at 0; what was done is flagged."""
        levels = split.context["quantiles"]
        done, about = [], {"crossed": 0.0, "clipped": 0.0, "fallback": 0}
        for panel, arrays in zip(split.stages[stage].parts, prediction, strict=True):
            quantiles, mean, crossed, clipped = _repaired_forecast(arrays, levels, counts=panel.counts)
            about["crossed"] += crossed / len(prediction)
            about["clipped"] += clipped / len(prediction)
            about["fallback"] = max(about["fallback"], int(arrays["fallback"].sum()))
            done.append({"quantiles": quantiles, "mean": mean})
        told = {"quantiles-crossed": "crossed", "clipped": "clipped", "fallback": "fallback"}
        flags = [flag for flag, key in told.items() if about[key]] + ["mean-from-quantiles"] * any("mean" not in p for p in prediction)
        note = f"{about['fallback']:,} of {split.facts['series']:,} series by a simpler method" if about["fallback"] else ""
        return Finished(done, tuple(flags), note, about)

    def objectives(self, split: Split, stage: StageName, prediction: Prediction) -> Mapping[str, Sequence[Objective]]:
        """Score each validation window by the metric that ranks."""
        truth, levels, metric = split.truths[stage], split.context["quantiles"], split.ranking.metric
        found = []
        for at, part in enumerate(prediction):
            window = replace(truth, y=truth.y[at : at + 1])
            rows = window.rows([part], levels)
            if np.isfinite(window.y).any():  # a window in which nothing is known says nothing
                found.append(Objective(window.group, partial(_ranking_score, rows, metric)))
        return {"tuned": found}

    def blendable(self, split: Split, stage: StageName, prediction: Prediction) -> Prediction:
        """Average as they are."""
        return prediction

    def combined(self, parts: Sequence[tuple[Prediction, float]]) -> list[dict[str, Array]]:
        """Take the median of the members' quantiles, level by level: one that misses a turn of the level does not pull it along."""
        return weighted_median(parts)

    def scorer(self, split: Split, prediction: Prediction) -> Scorer:
        """Lay out the rows once."""
        return Scored(split.truths["final"].rows(prediction, split.context["quantiles"]))

    def intervals(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """Raise no alarm."""
        return []

    def figures(self, split: Split, shown: Sequence[ModelResult], leader: str) -> dict[str, Any]:
        """Draw each model's best, median and worst series with their bands, and the error by step."""
        if not shown:
            return {}
        truth, levels = split.truths["final"], split.context["quantiles"]
        steps = self._by_step(truth, shown[0].prediction, levels)
        # what is no mean over steps has no curve by step: what usually ranks is drawn then
        metric = split.ranking.metric if split.ranking.metric in steps else split.ranking.second
        grid, (windows, n, horizon) = truth.grid, truth.y.shape
        scores, by_step = {}, {}
        for one in shown:
            each = metrics.by_series(_uncut_rows(truth, one.prediction, levels))[metric].reshape(windows, n)
            scores[one.model] = np.array([np.nan if (m := _mean(column)) is None else m for column in each.T])
            by_step[one.model] = self._by_step(truth, one.prediction, levels)[metric].tolist()
        time = [format_time(int(t), grid.clock) for t in grid.time]
        made = {one.model: one.prediction for one in shown}
        cutoffs, label = truth.cutoffs, metrics.METRICS[metric].label
        return collect(grid.names, time, grid.values, cutoffs, horizon, levels, made, scores, leader, metric=label, by_step=by_step)

    @staticmethod
    def _by_step(truth: Windows, prediction: Prediction, levels: tuple[float, ...]) -> Mapping[str, Array]:
        """Score each step of the horizon over all windows."""
        windows, n, _ = truth.y.shape
        y = truth.y.reshape(windows * n, -1)
        scales = metrics.Scales(np.tile(truth.scales.absolute, windows), np.tile(truth.scales.squared, windows))
        quantiles, mean = (np.concatenate([p[name] for p in prediction]) for name in ("quantiles", "mean"))
        return metrics.by_horizon(y, np.isfinite(y), quantiles, mean, levels, scales)

    def inference_inputs(
        self, data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile
    ) -> InferenceInputs:
        """Bring new data into the form that the run's models are asked about; see `new_data`."""
        return new_data.inference_inputs(data, run, options, profile)

    def answer_frame(self, asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
        """Lay out answers about new data for people; see `new_data`."""
        return new_data.answer_frame(asked, arrays)

    def details(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """List each model's scores by step of the horizon, and by series."""
        truth, levels, found = split.truths["final"], split.context["quantiles"], []
        windows, n, horizon = truth.y.shape
        for one in shown:
            base = {"model": one.model, "tuning": one.tuning}
            by_step = self._by_step(truth, one.prediction, levels)
            found += [{**base, "by": "step", "at": str(h + 1), **{k: float(v[h]) for k, v in by_step.items()}} for h in range(horizon)]
            by_series = metrics.by_series(_uncut_rows(truth, one.prediction, levels))
            for at, name in enumerate(truth.grid.names):
                own = {k: _mean(v.reshape(windows, n)[:, at]) for k, v in by_series.items() if k in by_step}
                found.append({**base, "by": "series", "at": name, **own})
        return found


def _uncut_rows(truth: Windows, prediction: Prediction, levels: tuple[float, ...]) -> metrics.Parts:
    """Lay out the rows of all windows, series by series, not cut into blocks."""
    return replace(truth, pieces=1).rows(prediction, levels)


def _ranking_score(rows: metrics.Parts, metric: str, weights: Array) -> Array:
    """Score rows by one metric under `weights` [B, R]."""
    return metrics.score(rows, weights)[metric]


def split_of(grid: Grid, plan: Plan, profile: Profile) -> Split:
    """Cut the stages; the truth of each window lies apart."""
    user, few = plan.level == "user", sparse(grid, plan)
    levels = (*DECILES, *TAILS) if user else DECILES
    stages: dict[StageName, Stage] = {}
    truths: dict[StageName, Windows] = {}
    cut: dict[StageName, tuple[int, ...]] = {"search": plan.valid, **({OLDER: plan.older} if plan.older else {}), "final": plan.test}
    for stage, cutoffs in cut.items():
        panels = tuple(grid.panel(t, plan.horizon, plan.season) for t in cutoffs)
        train = panels[0]
        stages[stage] = Stage(train, panels)
        y = np.stack([grid.values[:, t : t + plan.horizon] for t in cutoffs])
        scales = metrics.scales(train.values, train.start, plan.season, train.mask)
        truths[stage] = Windows(y, scales, grid, cutoffs, plan.pieces(len(grid.names)))
    if plan.older:  # the search's own windows, asked once more
        stages[RESEEDED], truths[RESEEDED], cut[RESEEDED] = stages["search"], truths["search"], plan.valid
    facts = {**_facts(grid, plan, truths["final"]), "levels": list(levels), "counts": stages["final"].train.counts}
    flags, reason, notes = _ranking_terms(grid, plan, truths, user=user)
    if few and not user:
        notes = (*notes, "most series are 0 at most steps: WQL ranks, as the median of MASE would rank the forecast of zeros first")
    columns = {"level": plan.level, "n_test": len(grid.names), "horizon_days": plan.horizon_days(grid.clock)}
    context = {"horizon": float(plan.horizon), "loss": "quantile", "quantiles": levels}
    members = {"unique_id": list(grid.names)}
    task_id = plan.task_id(grid.clock, profile) + "/rank=wql" * (few and not user)
    board = RANKINGS["user" if user or few else ""]
    before = grid.time - 1  # [T]: the last microsecond before each step
    until = {name: tuple(int(before[t]) for t in (own[0], *own)) for name, own in cut.items()}
    return Split(task_id, stages, truths, facts, notes, flags, reason, board, columns, context, members, known_until=until)


def sparse(grid: Grid, plan: Plan) -> bool:
    """Return whether most series are 0 at most of their steps before the first validation cut-off."""
    panel = grid.panel(plan.valid[0], plan.horizon, plan.season)
    zeros, seen = ((x & panel.mask).sum(axis=1) for x in (panel.values == 0, panel.mask))
    begun = seen > 0
    return bool(panel.counts and begun.any() and (2 * zeros > seen)[begun].mean() > 0.5)


def _facts(grid: Grid, plan: Plan, truth: Windows) -> dict[str, Any]:
    time = grid.time
    return {
        "series": len(grid.names),
        "level": plan.level,
        "freq": grid.clock.freq,
        "season": plan.season,
        "horizon": plan.horizon,
        "horizon_days": plan.horizon_days(grid.clock),
        "test_cutoffs": [plan.moment(time, t, grid.clock) for t in plan.test],
        "valid_cutoffs": [plan.moment(time, t, grid.clock) for t in plan.valid],
        "test_times": [plan.moments(time, t, grid.clock) for t in plan.test],
        "undefined": int(metrics.undefined(truth.scales).sum()),
        "unscored": int((~np.isfinite(truth.y).any(axis=(0, 2))).sum()),
    }


def _ranking_terms(
    grid: Grid, plan: Plan, truths: Mapping[StageName, Windows], *, user: bool
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Decide what the split allows: flags, the reason why nothing can be scored, and sentences for the user."""
    notes = [plan.words(grid), *grid.notes, *plan.notes]
    for stage, words in (("search", "validation"), ("final", "test")):
        truth = truths[stage]
        if not np.isfinite(truth.y).any():
            return (), f"no series has a value in the {words} windows", tuple(notes)
        usable = np.isfinite(truth.y).any(axis=(0, 2)) & ~metrics.undefined(truth.scales)
        if not user and not usable.any():
            return (), f"no series varies before the first {words} cut-off: MASE has no scale; nothing to rank", tuple(notes)
    undefined, unscored = (
        int(metrics.undefined(truths["final"].scales).sum()),
        int((~np.isfinite(truths["final"].y).any(axis=(0, 2))).sum()),
    )
    if undefined:
        notes.append(
            f"{undefined:,} of {len(grid.names):,} series do not vary before the test: left out of MASE, RMSSE and SQL, counted elsewhere"
        )
    if unscored:
        notes.append(f"{unscored:,} of {len(grid.names):,} series have no value in the test windows and are not scored")
    units = len(np.unique(truths["final"].group))
    if units < FEW:
        notes.append(f"underpowered: {units} blocks of steps to resample, at least {FEW} to rank; more with --set windows=8")
        return ("underpowered",), "", tuple(notes)
    return (), "", tuple(notes)


def _repaired_forecast(arrays: Arrays, levels: tuple[float, ...], *, counts: bool) -> tuple[Array, Array, float, float]:
    """Return sorted quantiles and the mean, both clipped where `counts`, and the shares of steps that were crossed and clipped."""
    quantiles, crossed = metrics.sorted_quantiles(np.asarray(arrays["quantiles"], np.float64))
    mean = np.asarray(arrays["mean"], np.float64) if "mean" in arrays else None
    clipped = 0.0
    if counts:
        quantiles, known, clipped = metrics.clipped(quantiles, np.zeros(quantiles.shape[:2]) if mean is None else mean)
        mean = None if mean is None else known
    return quantiles, metrics.mean_from_quantiles(quantiles, levels) if mean is None else mean, crossed, clipped


def _shared(whole: metrics.Parts, blocks: Sequence[metrics.Parts]) -> metrics.Parts:
    """Stack blocks of steps so that all of them together add what the whole window adds.

    A mean over series, or of totals, is of whole windows: means of blocks would make another metric of it (RMSSE), and
    count steps of a shorter block for more. Each block keeps its share of the sum over blocks.
    """
    of_windows = np.isin(list(metrics.METRICS), WHOLE)

    def shared(name: str) -> Array:
        each = np.stack([getattr(block, name) for block in blocks])  # [blocks, n, M]
        total = each.sum(axis=0)
        scaled = of_windows & np.isfinite(total) & (total > 0)
        return np.concatenate(each * np.divide(getattr(whole, name), total, out=np.ones(total.shape), where=scaled))

    return replace(whole, numerator=shared("numerator"), denominator=shared("denominator"))


def _stacked(parts: Sequence[metrics.Parts]) -> metrics.Parts:
    return replace(parts[0], **{name: np.concatenate([getattr(p, name) for p in parts]) for name in ("numerator", "denominator")})


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


@hookimpl
def bench_tasks() -> list[type[Forecasting]]:
    """Offer the task."""
    return [Forecasting]
