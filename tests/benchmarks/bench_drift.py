"""Should the level of churn probabilities be carried forward where it moves from cut-off to cut-off? What gates would have done.

    python tests/benchmarks/bench_drift.py [--log social=CollegeMsg.txt --log netflix=FOLDER ...]

Every log is cut at five horizons and at up to eight ends, a horizon apart; the simulators' logs also with events thinned out
over time, so that their churn rates drift. At each cut `rfm-logit` and `rfm-lightgbm` are fitted as a run would. A gate looks
at what is known before the test: `level` fires where the level that a model missed on each past validation is of one sign and
beyond Z standard errors, and shifts the log-odds by the least of them; `rates` fires where the churn rate moved one way at
each step between known cut-offs, beyond Z standard errors, and shifts by the least step; `both` asks for both. Printed: how
often each fired, how often that lowered the test's log-loss, and how often it raised it beyond two standard errors.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from bench.api import Context
from bench.data.events import Events
from bench.data.ragged import Array
from bench.errors import BenchError
from bench.execute.task_space import default_of
from bench.registry import discover, models
from bench.tasks.churn.calibration import applied
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES

HORIZONS = (7, 14, 28, 56, 91)
ENDS = 8
SEEDS = (31, 32, 33, 34)
SLOPES = (2.0, -2.0, 4.0)
MODELS = ("rfm-logit", "rfm-lightgbm")
ERRORS = (1.0, 2.0, 3.0, 5.0)
DAY = 86_400_000_000


@dataclass(frozen=True)
class Cut:
    """One model at one cut of one log: predictions and labels by stage, and the rates that are known."""

    p: Mapping[str, Array]
    y: Mapping[str, Array]
    rates: Array


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", action="append", default=[], metavar="ADAPTER=PATH")
    found: dict[tuple[str, str], list[Cut]] = {}
    for kind, events in logs(parser.parse_args().log):
        for cut in cuts(events):
            for model, one in cut.items():
                found.setdefault((kind, model), []).append(one)
    for (kind, model), each in found.items():
        for name, gate in GATES.items():
            for errors in ERRORS:
                print(f"{kind:10} {model:13} {len(each):4d} cuts  {name:6} {errors:g} errors: {tally(each, gate, errors)}")


def logs(given: list[str]) -> Iterator[tuple[str, Events]]:
    """Yield the given logs, or else the simulators' with and without drift."""
    registry = discover()
    for spec in given:
        adapter, _, path = spec.partition("=")
        yield "given", registry.dataset(adapter).read(Path(path), {})
    for adapter in () if given else ("retail", "netflix", "social"):
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                source = registry.dataset(adapter)
                source.simulate(Path(folder), 600, seed)
                events = source.read(Path(folder), {})
                yield "simulated", events
                yield from (("drifting", thinned(events, slope)) for slope in SLOPES)


def thinned(events: Events, slope: float) -> Events:
    """Drop events at random, more and more of them (or, below 0, fewer and fewer): the churn rate then drifts."""
    time = events.frame["time"].to_physical().to_numpy().astype(float)
    share = (time - time.min()) / np.ptp(time)
    kept = np.random.default_rng(1).random(len(time)) < np.exp(-abs(slope) * (share if slope > 0 else 1 - share))
    return replace(events, frame=events.frame.filter(pl.Series(kept)))


def cuts(events: Events) -> Iterator[Mapping[str, Cut]]:
    """Cut a log at all horizons and ends, and fit both models at each."""
    time = events.frame["time"].to_physical()
    first, last = int(time.min()), int(time.max())  # type: ignore[arg-type]
    for days in HORIZONS:
        for end in [e for k in range(ENDS) if (e := last - k * days * DAY) - first >= 4 * days * DAY]:
            shorter = replace(events, frame=events.frame.filter(pl.col("time").to_physical() <= end))
            try:
                split = Churn().split(shorter, {"horizon": f"{days}d"}, PROFILES["short"], 0)
            except BenchError:
                continue  # too short for this horizon
            if not split.reason:
                yield {model: fitted(split, model, days) for model in MODELS}


def fitted(split: object, model: str, days: int) -> Cut:
    """Fit the default of a model on each stage and keep what it predicts."""
    kind = models(discover().sources["bench.models"][model])[model]
    p, y = {}, {}
    for stage in (*split.validations, "final"):  # type: ignore[attr-defined]
        own = kind(default_of(kind, "churn"))
        own.fit(split.stages[stage].train, Context(seed=0, horizon=float(days)))  # type: ignore[attr-defined]
        p[stage] = np.asarray(own.predict(split.stages[stage].parts[0], Context(seed=0, horizon=float(days))), float)  # type: ignore[attr-defined]
        y[stage] = split.truths[stage].y  # type: ignore[attr-defined]
    facts = split.facts  # type: ignore[attr-defined]
    rates = [rate for cutoff, rate in sorted(facts["churn_by_cutoff"].items()) if cutoff < facts["test_cutoff"]]
    return Cut(p, y, np.array([rate for rate in rates if np.isfinite(rate)]))


def missed(p: Array, y: Array) -> tuple[float, float]:
    """Return the shift of the log-odds that brings the mean prediction to the actual rate, and its standard error."""
    rate, shift = float(np.clip(y.mean(), 0.5 / len(y), 1 - 0.5 / len(y))), 0.0
    for _ in range(40):
        q = applied(p, 1.0, shift)
        shift += 0.7 * (rate - q.mean()) / max((q * (1 - q)).mean(), 1e-6)
    q = applied(p, 1.0, shift)
    return float(shift), float(1 / np.sqrt(max((q * (1 - q)).sum(), 1e-9)))


def by_level(cut: Cut, errors: float) -> float:
    """Return the shift that the levels missed on all validations agree on, 0 where they do not; at least two are asked."""
    each = np.array([missed(cut.p[s], cut.y[s]) for s in cut.p if s != "final"])
    return _agreed(each[:, 0], errors * each[:, 1]) if len(each) > 1 else 0.0


def by_rates(cut: Cut, errors: float) -> float:
    """Return the least step between known churn rates, 0 where they do not all go one way; at least two steps are asked."""
    rates = np.clip(cut.rates, 0.005, 0.995)
    steps = np.diff(np.log(rates / (1 - rates)))
    if len(steps) < 2:
        return 0.0
    error = np.sqrt(2 / (len(cut.y["search"]) * rates[1:] * (1 - rates[1:])))
    return _agreed(steps, errors * error)


def by_both(cut: Cut, errors: float) -> float:
    """Return the shift of `level` where the rates, too, went that way at every step."""
    shift = by_level(cut, errors)
    return shift if shift * by_rates(cut, 0.0) > 0 else 0.0


GATES: Mapping[str, Callable[[Cut, float], float]] = {"level": by_level, "rates": by_rates, "both": by_both}


def _agreed(each: Array, least: Array) -> float:
    one_way = (each > least).all() or (each < -least).all()
    return float(np.sign(each[0]) * np.abs(each).min()) if one_way else 0.0


def tally(found: list[Cut], gate: Callable[[Cut, float], float], errors: float) -> str:
    """Say how often a gate fired and what that did to the log-loss on test."""
    gains, sure = [], []
    for cut in found:
        if shift := gate(cut, errors):
            p, y = cut.p["final"], cut.y["final"]
            each = _loss(p, y) - _loss(applied(p, 1.0, shift), y)
            gains.append(each.mean())
            sure.append(each.mean() < -2 * each.std() / np.sqrt(len(y)))
    if not gains:
        return "never fired"
    return f"fired {len(gains)}, better {sum(g > 0 for g in gains)}, worse beyond its error {sum(sure)}, mean gain {np.mean(gains):+.4f}"


def _loss(p: Array, y: Array) -> Array:
    q = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(-np.where(y > 0, np.log(q), np.log1p(-q)))


if __name__ == "__main__":
    main()
