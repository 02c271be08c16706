"""Forecasts at random, and every metric once more, written as its formula, one step at a time."""

import math
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from bench.metrics.forecasting import FLOOR, METRICS, Parts, Scales, parts, scales

LEVELS = tuple(k / 10 for k in range(1, 10))


@dataclass(frozen=True)
class Case:
    """Hold truth, forecasts and history of N series; every step is scored unless `mask` says otherwise."""

    y: np.ndarray
    quantiles: np.ndarray
    mean: np.ndarray
    history: np.ndarray
    mask: np.ndarray
    season: int = 2
    levels: tuple[float, ...] = LEVELS

    @property
    def scales(self) -> Scales:
        return scales(self.history, np.zeros(len(self.y), int), self.season)

    @property
    def parts(self) -> Parts:
        return parts(*self.arguments)

    @property
    def arguments(self):
        return self.y, self.mask, self.quantiles, self.mean, self.levels, self.scales

    @property
    def score(self):
        """Score with weight 1 for each row: metric -> number."""
        return {name: float(v[0]) for name, v in self.parts.score(np.ones((1, len(self.y)))).items()}

    def take(self, rows):
        return replace(self, **{name: getattr(self, name)[rows] for name in ("y", "quantiles", "mean", "history", "mask")})

    def times(self, c):
        return replace(self, **{name: getattr(self, name) * c for name in ("y", "quantiles", "mean", "history")})


def case(seed, n=5, h=4, *, scored=1.0, steps=9, rate=2.0, below=0, levels=LEVELS):
    """Make counts, less `below`, and forecasts of them; some series are constant or all zero where `rate` is low."""
    rng = np.random.default_rng(seed)
    quantiles = np.sort(rng.gamma(1, rate, (n, h, len(levels))).round(1), axis=2)
    mask = rng.random((n, h)) < scored
    y = np.where(mask, rng.poisson(rate, (n, h)) - float(below), np.nan)
    return Case(y, quantiles, rng.gamma(1, rate, (n, h)), rng.poisson(rate, (n, steps)).astype(float), mask, levels=levels)


def cases(**fixed):
    """Draw cases with gaps, short histories, sparse counts and values below zero."""
    drawn = {
        "n": st.integers(1, 6),
        "h": st.integers(1, 5),
        "scored": st.sampled_from([0.4, 0.8, 1.0]),
        "rate": st.sampled_from([0.2, 2.0, 50.0]),
    }
    drawn |= {
        "steps": st.integers(1, 9),
        "below": st.sampled_from([0, 0, 2]),
        "levels": st.sampled_from([LEVELS, (0.1, 0.2, 0.5, 0.8, 0.9), (*LEVELS, 0.95, 0.99)]),
    }
    drawn |= {name: st.just(value) for name, value in fixed.items()}
    return st.builds(case, st.integers(0, 99_999), **drawn)


def by_hand(given: Case, weights):
    """Give every metric under one weighting [N], by loops over series, steps and levels."""
    of_series = {name: [] for name in ("mase", "rmsse", "smape", "sql")}
    sums = dict.fromkeys(("error", "size", "loss", "bias", "deviance", "steps", "in_60", "in_80", "total_error", "total"), 0.0)
    for n, w in enumerate(weights):
        steps = [h for h in range(given.y.shape[1]) if given.mask[n, h]]
        terms = [step_by_hand(given, n, h) for h in steps]
        for name in ("error", "size", "loss", "bias", "deviance", "in_60", "in_80"):
            sums[name] += w * sum(term[name] for term in terms)
        sums["steps"] += w * len(steps)
        total, forecast = sum(given.y[n, h] for h in steps), sum(given.mean[n, h] for h in steps)
        sums["total_error"] += w * abs(forecast - total)
        sums["total"] += w * abs(total)
        if not steps:
            continue
        of_series["smape"].append((w, np.mean([term["symmetric"] for term in terms])))
        pairs = [(given.history[n, t], given.history[n, t - given.season]) for t in range(given.season, given.history.shape[1])]
        absolute = sum(abs(a - b) for a, b in pairs) / len(pairs) if pairs else 0
        if absolute:
            squared = sum((a - b) ** 2 for a, b in pairs) / len(pairs)
            of_series["mase"].append((w, np.mean([term["error"] for term in terms]) / absolute))
            of_series["rmsse"].append((w, math.sqrt(np.mean([term["squared"] for term in terms]) / squared)))
            of_series["sql"].append((w, np.mean([term["loss"] for term in terms]) / absolute))
    means = {name: over(sum(w * v for w, v in rows), sum(w for w, _ in rows)) for name, rows in of_series.items()}
    pairs = {"wape": ("error", "size"), "wql": ("loss", "size"), "bias": ("bias", "size"), "poisson_deviance": ("deviance", "steps")}
    pairs |= {"coverage_60": ("in_60", "steps"), "coverage_80": ("in_80", "steps"), "total_wape": ("total_error", "total")}
    found = means | {name: over(sums[a], sums[b]) for name, (a, b) in pairs.items()}
    return {name: found[name] for name in METRICS}


def step_by_hand(given, n, h):
    y, mean = given.y[n, h], given.mean[n, h]
    q = dict(zip(given.levels, given.quantiles[n, h], strict=True))
    f = max(mean, FLOOR)
    error = abs(y - q[0.5])
    return {
        "error": error,
        "squared": (y - mean) ** 2,
        "size": abs(y),
        "symmetric": 200 * error / (abs(y) + abs(q[0.5])) if abs(y) + abs(q[0.5]) else 0,
        "loss": np.mean([2 * (a * (y - v) if y >= v else (1 - a) * (v - y)) for a, v in q.items()]),
        "bias": mean - y,
        "deviance": math.nan if y < 0 else 2 * ((y * math.log(y / f) if y else 0) - y + f),
        "in_60": q[0.2] <= y <= q[0.8],
        "in_80": q[0.1] <= y <= q[0.9],
    }


def over(a, b):
    return a / b if b else math.nan
