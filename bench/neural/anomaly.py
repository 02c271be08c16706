"""What a network sees of an anomaly task: windows in which it says what each step should have been; the score is by how much it errs.

Three views differ in what they show. `lagged`: the steps before (a forecast, causal). `echo`: the whole window, and then as
many steps without values at which it is to be said again (a reconstruction). `hidden`: the window without some of its
blocks, and once more without the others (a masked reconstruction). Each shows every step about twice, whatever the window.

Letters for shapes: N series, n windows, T steps, W steps of a window as the network sees it, S scored steps of it, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from bench.api import Array, Context, Panel
from bench.neural.batches import Lazy
from bench.neural.sizes import Sizes
from bench.neural.windows import MOST, Places, ahead_known, every, local_mean, observed_at, some, varying

View: TypeAlias = Literal["lagged", "echo", "hidden"]
BLOCKS = 8
"""Blocks of a window, every other of which is hidden."""
COVER = 8
"""Times that a step is a target in an epoch, at most."""
WINDOW = 96
"""Steps of a window, where the prefixes are long enough: half of it is context."""
FEWEST = 500
"""Windows that an epoch has in any case, where there are as many."""
FAR = 1e6
"""Widest distance from the median that is told apart, in interquartile ranges."""
LEAST = 0.01
"""Smallest typical error that scores are divided by."""


@dataclass(frozen=True)
class AnomalyEncoder:
    """Encode windows of `window` steps, of which the last `scored` are answered."""

    view: View
    window: int
    scored: int
    season: int
    known: list[int]
    """Columns of `Panel.known` that vary in training."""
    loss: ClassVar[str] = "huber"
    levels: ClassVar[tuple[float, ...]] = ()

    @classmethod
    def fit(cls, train: Panel, ctx: Context, view: View) -> AnomalyEncoder:
        """Take sizes from the profile and the length of the prefixes, and from `train` which cycles there are."""
        half = max(window_of(train, ctx.history) // 2, 2)
        return cls(view, 2 * half, 2 * half if view == "hidden" else half, train.season, varying(train.known))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> AnomalyEncoder:
        """Make the encoder again from its `state`."""
        return cls(**{name: value for name, value in state.items() if name != "task"})

    def state(self) -> dict[str, Any]:
        """Return what was learnt, ready for JSON."""
        return {"task": "anomaly", **asdict(self)}

    @property
    def sizes(self) -> Sizes:
        """Return F, and one number for each scored step."""
        f = 3 + 2 * (self.view == "lagged" and self.season > 1) + len(self.known)
        return Sizes("anomaly", f, self.scored, longest=self.window)

    @property
    def passes(self) -> int:
        """Return the number of windows that a stretch of steps needs: two where each hides the half of it."""
        return 2 if self.view == "hidden" else 1

    def training_rows(self, fit: Panel, ctx: Context) -> Lazy:
        """Cut overlapping windows before `until`: all of a small panel, else a seeded choice (`COVER`, `ctx.rows`, `MOST`)."""
        fit = fit.ending(fit.until)  # what comes later is not even shown
        last = np.where(fit.start < fit.until, np.maximum(fit.until - self.scored, fit.start), -1)
        total = int(np.maximum(fit.until - fit.start, 0).sum())
        most = min(max(COVER * total // self.scored, FEWEST), MOST if ctx.rows is None else ctx.rows)
        return self.rows(fit, some(fit.start, last, max(most // self.passes, 1), ctx.seed), np.zeros_like(last), fit.until)

    def holdout_rows(self, holdout: Panel) -> Lazy:
        """Cut windows that follow one another from `until` on."""
        end = np.full(len(holdout), holdout.steps)
        return self.rows(holdout, self.tiles(holdout, holdout.until), holdout.until, end)

    def prediction_rows(self, inputs: Panel) -> Lazy:
        """Cut windows that follow one another from each series' start on: where a series is cut later changes none of them."""
        return self.rows(inputs, self.tiles(inputs, inputs.start), inputs.start, np.full(len(inputs), inputs.steps))

    def decode(self, raw: Array, inputs: Panel) -> Array:
        """Turn raw outputs into scores, float64 [N, T]: the error in typical errors of the series' own prefix, times the local spread.

        The error is the mean of as many steps as a window answers, the spread that of the values of a season, or of a window
        where this is shorter, in typical spreads of the prefix; both around the step, or before it where the view is `lagged`.
        On NAB's cloud metrics the product finds more than the error alone (`vae`, `lstm`).
        Steps that were not observed score 0.
        """
        places = self.tiles(inputs, inputs.start)
        wanted = self.targets(inputs, places, inputs.start, np.full(len(inputs), inputs.steps))  # [n, S], NaN: not asked
        step = np.repeat(places.at, self.passes)[:, None] + np.arange(self.scored)
        asked, series = ~np.isnan(wanted), np.repeat(places.series, self.passes)[:, None]
        error = np.zeros(inputs.values.shape)
        error[np.broadcast_to(series, step.shape)[asked], step[asked]] = distance(wanted[asked], raw[asked])
        ahead, real = self.view != "lagged", inputs.mask & (np.arange(inputs.steps) >= inputs.start[:, None])
        error = local_mean(error / typical(error, inputs)[:, None], real, self.scored, ahead=ahead)
        season = min(inputs.season, self.window) if inputs.season > 1 else self.window
        spread = local_spread(inputs, real, season, ahead=ahead)
        return np.where(real, error * spread / typical(spread, inputs)[:, None], 0.0)

    def tiles(self, panel: Panel, first: Array) -> Places:
        """Place windows of S scored steps that cover each series from `first` on."""
        count = -(-np.maximum(panel.steps - first, 0) // self.scored)
        return every(first, first + (count - 1) * self.scored, self.scored)

    def rows(self, panel: Panel, places: Places, low: Array, high: Array) -> Lazy:
        """Return windows whose scored steps begin at `places`, as rows; only steps in [low, high) are asked for."""
        level, spread = robust(panel)

        def features(rows: Array) -> Array:
            own = places.take(rows // self.passes)
            return self.features(panel, own, rows % self.passes, level[own.series], spread[own.series])

        count = len(places) * self.passes
        return Lazy(np.full(count, self.window), self.targets(panel, places, low, high), features)

    def targets(self, panel: Panel, places: Places, low: Array, high: Array) -> Array:
        """Return the standardised values that are asked for, float32 [n, S], NaN at the other steps."""
        level, spread = robust(panel)
        twice = places.take(np.repeat(np.arange(len(places)), self.passes))
        series, at = twice.series[:, None], twice.at[:, None] + np.arange(self.scored)
        ask = (at >= low[series]) & (at < high[series])
        if self.view == "hidden":
            ask &= self.hidden(np.arange(len(twice)) % 2)
        z, seen = standardise(panel, series, at, level[series], spread[series])
        return np.where(ask & seen, z, np.nan).astype(np.float32)

    def features(self, panel: Panel, places: Places, turn: Array, level: Array, spread: Array) -> Array:
        """Return float32 [n, W, F]: value, seen, asked [, value and seen a season before], then what is known in advance."""
        step, series = np.arange(self.window), places.series[:, None]
        level, spread = level[:, None], spread[:, None]
        at, shown = self.visible_steps(places, turn)
        own = standardise(panel, series, at - (self.view == "lagged"), level, spread)
        columns = [*(np.where(shown, x, 0.0) for x in own), ~shown]
        if self.view == "lagged" and self.season > 1:
            columns += standardise(panel, series, at - panel.cycles[series], level, spread)
        calendar = ahead_known(panel, series, at, self.known)
        stacked = [np.broadcast_to(c, (len(places), len(step)))[..., None] for c in columns]
        return np.concatenate([*stacked, calendar], axis=-1).astype(np.float32)

    def visible_steps(self, places: Places, turn: Array) -> tuple[Array, Array]:
        """Return, for the W steps of each window, which step of the grid they are, [n, W], and whether their value is shown."""
        step, begin = np.arange(self.window), places.at[:, None]
        match self.view:
            case "lagged":
                return begin - self.scored + step, np.array(True)
            case "echo":
                return begin + step % self.scored, step < self.scored
            case "hidden":
                return begin + step, ~self.hidden(turn)

    def hidden(self, turn: Array) -> Array:
        """Return which steps are hidden: the odd or the even blocks; `turn`: int [n], 0 or 1. Returns bool [n, S]."""
        block = np.arange(self.scored) // max(self.scored // BLOCKS, 1)
        return np.asarray(block % 2 == turn[:, None])


def window_of(train: Panel, history: int) -> int:
    """Return the steps of a window: `WINDOW`, or a third of the prefixes where these are short; `history` of the profile at least."""
    learnt = np.maximum(train.until - train.start, 0)
    return max(min(WINDOW, int(np.median(learnt)) // 3 if len(learnt) else 0), history)


def standardise(panel: Panel, series: Array, at: Array, level: Array, spread: Array) -> tuple[Array, Array]:
    """Return values at grid steps `at`, [n, W], in interquartile ranges from the median, tails compressed; and whether observed.

    Outside of the grid, and where nothing was observed: 0. Large values: asinh(x), near x around 0, near log 2x far out.
    """
    value, seen = observed_at(panel, series, at)
    far = np.clip((value / 2 - level / 2) / spread, -FAR, FAR)  # halves: a difference of two may be too large for a number
    return np.where(seen, np.arcsinh(2 * far), 0.0), seen


def local_spread(panel: Panel, real: Array, width: int, *, ahead: bool) -> Array:
    """Return the standard deviation of each step's window, in interquartile ranges of the series' prefix, float64 [N, T]."""
    level, unit = robust(panel)
    far = np.clip((panel.values / 2 - level[:, None] / 2) / unit[:, None], -FAR, FAR)
    mean = local_mean(far, real, width, ahead=ahead)
    return np.asarray(2 * np.sqrt(np.maximum(local_mean(far**2, real, width, ahead=ahead) - mean**2, 0.0)))


def distance(wanted: Array, raw: Array) -> Array:
    """Return absolute errors of compressed values, uncompressed again, in (half) interquartile ranges, float64.

    On NAB's tweets (60 s of training, smoothed over a day) this scored VUS-PR .38 to .49 and the compressed errors .24 to
    .31: an incident is a burst, and what its size says should not be compressed away.
    """
    return np.asarray(np.abs(np.sinh(wanted.astype(np.float64)) - np.sinh(np.clip(raw, -15, 15).astype(np.float64))))


def robust(panel: Panel) -> tuple[Array, Array]:
    """Return median and interquartile range of each series' observed steps before `until`, float64 [N] each.

    Where the range is 0: the mean distance from the median, or 1.
    """
    learnt = learnable(panel)
    low, level, high = (quantile(panel.values, learnt, q) for q in (0.25, 0.5, 0.75))
    away = (np.abs(panel.values - level[:, None]) * learnt).sum(axis=1) / np.maximum(learnt.sum(axis=1), 1)
    return level, np.select([high > low, away > 0], [high - low, away], 1.0)


def typical(error: Array, panel: Panel) -> Array:
    """Return the median error of each series' observed steps before `until`, float64 [N], at least `LEAST`."""
    return np.maximum(quantile(error, learnable(panel), 0.5), LEAST)


def learnable(panel: Panel) -> Array:
    """Return which steps were observed and lie before `until`, bool [N, T]."""
    return np.asarray(panel.mask & (np.arange(panel.steps) < panel.until[:, None]))


def quantile(x: Array, where: Array, level: float) -> Array:
    """Return a quantile of the steps `where` of each row, linear between ranks; [N, T] to [N], 0 where there are none."""
    if x.shape[1] == 0:
        return np.zeros(len(x))
    ordered, count = np.sort(np.where(where, x, np.inf), axis=1), where.sum(axis=1)
    rank = level * np.maximum(count - 1, 0)
    row, below = np.arange(len(x)), np.floor(rank).astype(np.int64)
    low, high = ordered[row, below], ordered[row, np.ceil(rank).astype(np.int64)]
    low, high = np.where(count > 0, low, 0.0), np.where(count > 0, high, 0.0)
    return np.asarray(low * (1 - rank + below) + high * (rank - below))
