"""State space: a structural model of level, trend and season; the Kalman filter forecasts, and scores by its innovations.

Harvey, "Forecasting, structural time series models and the Kalman filter" (1989); Durbin & Koopman, "Time series analysis
by state space methods" (2012). The variances of a series' parts, as ratios to that of the irregular, are the point of a grid
with the largest likelihood. Missing steps are skipped. Anomaly score: the standardised innovation. Churn: the hidden Markov
model of `_hmm.py`, learnt from all users together; P(no event in H) by its forward recursion, then calibrated. Next events:
the mixture of Markov chains of `_markov_mixture.py`, beside the own past.
"""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bench.api import Array, ArrayModel, ChurnInputs, ChurnTrain, Context, Model, Params, hookimpl
from bench.data.panel import Forecast, Panel
from bench.data.ranking import NextInputs, NextTrain, Ranking
from bench_plugins import _chains_and_past, _hmm_em
from bench_plugins._links import TRANSFORMS, History, Link, batches
from bench_plugins._structural_filter import choose
from bench_plugins._structural_form import TRENDS, Form, build, most_states
from bench_plugins._structural_series import beyond, estimate, left, within

AUTO = ("level", "damped", "local", "returning", "slow")
"""Trends to choose from where none is asked for."""
SEASONS = 3
"""Seasons that must be seen before one is modelled."""
DUMMIES = 24
"""Longest season that may have one effect a step; longer ones are sines and cosines."""
SHORTEST, LONGEST = 400, 1000
"""Bounds of the history, in steps, whatever the season: the time of a fit grows with it."""
ROWS = 200
"""Series that are filtered at once: enough to fill the processor, few enough for its cache."""
SPARE = 4
"""Observed steps that a form needs beyond its states."""


class StateSpace(ArrayModel):
    """Fit each series by itself in `predict`, where nothing is learnt across series; or learn from all users, in `fit`."""

    name = "state-space"
    tasks = frozenset({"forecasting", "churn", "anomaly", "next-event"})
    deterministic = True
    local = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the trend, the season, the transform and the history in seasons; for users, classes, periods and their persistence.

        Next events take the classes for chains, and the persistence for their smoothing, in events.
        """
        return {
            "trend": CategoricalDistribution(("auto", *TRENDS)),
            "season": CategoricalDistribution(("fourier", "dummy", "none")),
            "harmonics": IntDistribution(1, 8),
            "transform": CategoricalDistribution(TRANSFORMS),
            "seasons": IntDistribution(5, 80, log=True),
            "classes": IntDistribution(2, 8),
            "periods": CategoricalDistribution((2, 4, 8)),
            "stay": FloatDistribution(1.0, 1000.0, log=True),
        }

    @staticmethod
    def default() -> Params:
        """Return the likeliest trend, up to six pairs of sines and cosines, twenty seasons; five classes and four periods a horizon."""
        series = {"trend": "auto", "season": "fourier", "harmonics": 6, "transform": "auto", "seasons": 20}
        return {**series, "classes": 5, "periods": 4, "stay": 10.0}

    def fit(self, train: Panel | ChurnTrain | NextTrain, ctx: Context) -> None:
        """Learn from users, by EM; of a panel nothing: each series is estimated in `predict`."""
        chosen = {**self.default(), **self.params}
        if isinstance(train, NextTrain):
            self.state = _chains_and_past.learn(train, chosen["classes"], chosen["stay"], ctx)
        if isinstance(train, ChurnTrain):
            self.state = _hmm_em.learn(train, chosen, ctx)

    def predict(self, inputs: Panel | ChurnInputs | NextInputs, ctx: Context) -> Forecast | Array | Ranking:
        """Forecast the horizon, or score each step [N, T] where there is none; for users, P(churn) [N], or what comes next."""
        if isinstance(inputs, NextInputs):
            return _chains_and_past.answer(inputs, self.state)
        if isinstance(inputs, ChurnInputs):
            return _hmm_em.answer(inputs, self.state, {**self.default(), **self.params}, ctx)
        return batches(inputs, ROWS, lambda part: self.answer(part, ctx))

    def answer(self, panel: Panel, ctx: Context) -> Forecast | Array:
        """Estimate and apply the models of one batch of series, one form after the other."""
        chosen = {**self.default(), **self.params}
        history = History.of(panel, int(np.clip(chosen["seasons"] * panel.season, SHORTEST, LONGEST)))
        link = Link.of(history, chosen["transform"], panel.season, counts=panel.counts)
        past, every = link.forward(history.values), link.forward(panel.values)
        mean, sd = np.zeros((2, len(panel), panel.horizon or panel.steps))
        forms, which, ratios = self.chosen(past, history, panel.season, ctx)
        for kind, form in enumerate(forms):
            rows = np.flatnonzero(which == kind)
            if not len(rows):
                continue
            found = estimate(form, ratios[rows], *left(past[rows], history.mask[rows], history.start[rows], panel.horizon))
            if panel.horizon:
                mean[rows], sd[rows] = beyond(found, past.shape[1] - history.start[rows], panel.horizon)
            else:
                mean[rows], sd[rows] = within(found, every[rows], panel.mask[rows], panel.start[rows])
        if panel.horizon:
            return link.forecast(mean, sd, ctx.quantiles, which == len(forms) - 1)
        seen = panel.mask & (np.arange(panel.steps) >= panel.start[:, None])
        return np.where(seen, np.abs(every - mean) / sd, 0.0)

    def chosen(self, z: Array, history: History, season: int, ctx: Context) -> tuple[list[Form], Array, Array]:
        """Choose a form a series: (forms, index of each series' own [N], its ratios [N, 3]); the last form is the fallback."""
        whole, plain = self.forms(season)
        seen = history.mask.sum(axis=1)
        enough = np.stack([seen >= max(SEASONS * season, most_states(whole) + SPARE), seen >= most_states(plain) + SPARE])
        forms = [*whole, *plain, build("level", 1, 0)]
        which, ratios = np.full(len(z), len(forms) - 1), np.tile([1.0, 0.0, 0.0], (len(z), 1))
        for first, some, mine in ((0, whole, enough[0]), (len(whole), plain, enough[1] & ~enough[0])):
            rows = np.flatnonzero(mine)
            if len(rows) and not ctx.should_stop():
                index, ratios[rows] = choose(some, *left(z[rows], history.mask[rows], history.start[rows]), ctx.should_stop)
                which[rows] = first + index
        return forms, which, ratios

    def forms(self, season: int) -> tuple[list[Form], list[Form]]:
        """List the forms that the parameters allow: with a season, and without, for series too short for one."""
        mine = {**self.default(), **self.params}
        trends = AUTO if mine["trend"] == "auto" else (mine["trend"],)
        dummy = mine["season"] == "dummy" and season <= DUMMIES
        length = 1 if mine["season"] == "none" or season * SEASONS > LONGEST else season
        return [build(trend, length, 0 if dummy else mine["harmonics"]) for trend in trends], [build(trend, 1, 0) for trend in trends]


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [StateSpace]
