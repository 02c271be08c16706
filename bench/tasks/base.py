"""What the runner asks of a task: splits whose inputs and truth lie apart, checks, objectives, scores.

Letters for shapes: N rows (a user at a cut-off, a series in a window), B draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np

from bench.data.events import Events
from bench.data.panel import Panel
from bench.data.payload import Payload
from bench.data.ragged import Array
from bench.data.series import Series
from bench.metrics.bootstrap import poisson_draws
from bench.metrics.kinds import Metric
from bench.tasks.profiles import Profile

if TYPE_CHECKING:
    import polars as pl

StageName: TypeAlias = str
"""`search` (the latest validation), `search-2`, `search-3` (earlier ones), `final`, and those that confirm what a search has found:
`unseen-1`, `unseen-2` (see `unseen_name`), `unseen-older`, `unseen-seeds` (see `OLDER`)."""
Arrays: TypeAlias = Mapping[str, Array]
"""What one call of `predict` gave, by name: `prediction`, or the fields of a `Forecast`."""
Prediction: TypeAlias = Sequence[Arrays]
"""What a job gave: one item for each part of its stage."""

TUNED, SECOND, LABEL_FREE = "tuned", "tuned-2", "label-free"
"""Tunings by the labels of either half of the entities (the rows of a board are of both, see `Task.cross_fitted`), and by injections."""
UNSEEN = "unseen"
OLDER, RESEEDED = f"{UNSEEN}-older", f"{UNSEEN}-seeds"
"""Stages that confirm what a search of forecasts has found: windows before its validations, and these by fits with other seeds."""
REPLICATES = 200
"""Resamples that say how sure a difference between two validation scores is."""
CHUNK, LEAST_CHUNK, CHUNKS = 128, 16, 64
"""Series that a local model is handed at once: as many as make `CHUNKS` jobs of a stage, within these bounds.

Jobs that last minutes would leave cores idle at a run's end. Part of the protocol, whatever the number of workers.
"""


def protocol_of(task_id: str) -> str:
    """Return the task and the version of its protocol, with which each task id begins: `churn/v2`."""
    return "/".join(task_id.split("/")[:2])


def stage_name(validation: int) -> StageName:
    """Name the stage of a validation, counted from 1, the latest."""
    return "search" if validation == 1 else f"search-{validation}"


def unseen_name(half: int) -> StageName:
    """Name a stage that learns from all cut-offs, as the final fit does, but of half of the users, and asks about the others.

    It confirms what a search has found, and is no validation: nothing is searched, calibrated or combined by it.
    """
    return f"{UNSEEN}-{half}"


def is_unseen(stage: StageName) -> bool:
    """Return whether a stage asks what no search has seen: users not learnt from, windows not searched by, fits with other seeds."""
    return stage.startswith(f"{UNSEEN}-")


@dataclass(frozen=True)
class Stage:
    """All that a worker may see of one stage: training data with labels, and inputs without.

    `parts` are asked for one after the other: the next is handed over only when the forecasts of the one before are
    stored, because it holds their truth.
    """

    train: Any
    parts: tuple[Any, ...]

    @cached_property
    def payloads(self) -> tuple[Payload, ...]:
        """Pickle the stage for a worker's pipe, (train, first part) and then each later part; nothing touches a disk."""
        first, *later = self.parts
        return (Payload.of((self.train, first)), *map(Payload.of, later))

    @cached_property
    def digest(self) -> str:
        """Fingerprint the payloads: part of each job's key."""
        digest = hashlib.sha256()
        for payload in self.payloads:
            digest.update(payload.digest)
        return digest.hexdigest()

    @property
    def divisible(self) -> bool:
        """Return whether it holds series, which a local model takes in chunks; users are learnt from together."""
        return isinstance(self.train, Panel)

    @cached_property
    def chunks(self) -> tuple[Stage, ...]:
        """Cut a stage of panels into stages of a few series, of one season each."""
        cuts = self.train.alike(min(max(-(-len(self.train) // CHUNKS), LEAST_CHUNK), CHUNK))
        if len(cuts) == 1:
            return (self,)
        return tuple(Stage(self.train.take(rows), tuple(part.take(rows) for part in self.parts)) for rows in cuts)


@dataclass(frozen=True)
class Truth:
    """What is scored against; it stays in the supervisor."""

    y: Array
    """int8 [N] for churn; the task knows the shape."""
    group: Array
    """int64 [N]: the user or series of each row, the unit of resampling."""


@dataclass(frozen=True)
class RankingRule:
    """Describe what ranks on a split: fixed by the task and its options, never by a model."""

    metric: str
    higher: bool = True
    """Higher is better."""
    reference: str = ""
    """The model that skill is measured against."""
    penalty: float = 0.0
    """What the search is told of a failed trial: worse than any that worked."""
    beside: str = ""
    """A floor that every model is also compared with, beside the reference."""
    floors: tuple[str, ...] = ()
    """Several such floors: the best of them in a model's own league takes the place of `beside`."""
    second: str = ""
    """The metric that a leaderboard shows beside the one that ranks."""
    also: tuple[str, ...] = ()
    """Further metrics that it shows behind that one, where there is room."""


@dataclass(frozen=True)
class Split:
    """A task on one data set: two stages, and the truth of each kept apart from them."""

    task_id: str
    stages: Mapping[StageName, Stage]
    truths: Mapping[StageName, Any] = field(repr=False)
    facts: Mapping[str, Any]
    """What the report tells: horizon, cut-offs, base rates, sizes."""
    notes: tuple[str, ...] = ()
    """Sentences for the user: chosen defaults, caps, drift."""
    flags: tuple[str, ...] = ()
    reason: str = ""
    """Why nothing can be scored here (one class only); empty: it can."""
    ranking: RankingRule = RankingRule("roc_auc", reference="rfm-logit")
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Columns of every leaderboard row of this split: level, family, horizon, sizes."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `bench.Context` that the task sets: horizon, loss, quantiles."""
    members: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Column -> what each row of a final prediction is of: users and cut-offs, series."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Tunings that this split has no rows for, with the reason."""
    ceiling: Prediction = field(default=(), repr=False)
    """What one who knows how the truth was made would predict: no model, scored beside them; empty: nobody knows."""
    no_search_reason: str = ""
    """Why nothing can steer a search here: only defaults are run; empty: the search runs."""
    known_until: Mapping[StageName, tuple[int | None, ...]] = field(default_factory=dict)
    """For each stage, in microseconds since 1970: the last moment that its training data may know, then that of each part.

    `bench.testing.TaskTests` changes and deletes all that comes later and compares. None: its rows have moments of their own.
    """

    @property
    def validations(self) -> tuple[StageName, ...]:
        """Return the names of the stages that a search may use, the latest first."""
        return tuple(name for name in self.stages if name != "final" and not is_unseen(name))

    @property
    def unseen(self) -> tuple[StageName, ...]:
        """Return the names of the stages that confirm what a search has found; see `unseen_name`."""
        return tuple(filter(is_unseen, self.stages))


@dataclass(frozen=True)
class Objective:
    """One validation score of a prediction, ready for any weights of its rows."""

    group: Array
    """int64 [R]: the user, series or entity of each row, the unit of resampling."""
    score: Callable[[Array], Array]
    """Weights float64 [B, R] -> scores float64 [B], nan where undefined."""

    @property
    def value(self) -> float:
        """Return the score of the rows as they are."""
        return float(self.score(np.ones((1, len(self.group))))[0])

    def replicates(self, seed: int) -> Array:
        """Return the score under `REPLICATES` resamples of the groups, float64 [B]; the same groups get the same draws."""
        return np.concatenate([self.score(w) for w in poisson_draws(self.group, REPLICATES, seed)])


def validation_scores(objectives: Mapping[str, Sequence[Objective]]) -> dict[str, float]:
    """Return the mean score of each tuning over its validations."""
    return {tuning: float(np.mean([one.value for one in each])) for tuning, each in objectives.items()}


@dataclass(frozen=True)
class Finished:
    """A prediction as it is stored and scored, and what the core had to do to it."""

    prediction: Prediction
    flags: tuple[str, ...] = ()
    note: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Small facts for the ledger, ready for JSON."""


def weighted(parts: Sequence[tuple[Prediction, float]]) -> list[dict[str, Array]]:
    """Return the weighted mean of predictions, array by array: quantiles level by level."""
    total: list[dict[str, Array]] = []
    for prediction, weight in parts:
        scaled = [{name: weight * array for name, array in part.items()} for part in prediction]
        total = scaled if not total else [{n: a[n] + b[n] for n in a} for a, b in zip(total, scaled, strict=True)]
    return total


def weighted_median(parts: Sequence[tuple[Prediction, float]]) -> list[dict[str, Array]]:
    """Return the weighted median of predictions, element by element; the mean of the middle two where half the weight lies below each.

    It follows neither of two members that are far off on opposite sides, nor one that is alone (Jose and Winkler 2008).
    """
    weight = np.array([w for _, w in parts])
    found = []
    for same in zip(*(prediction for prediction, _ in parts), strict=True):
        stacked = {name: np.stack([part[name] for part in same]) for name in same[0]}
        found.append({name: _middle(x, weight) for name, x in stacked.items()})
    return found


def _middle(x: Array, weight: Array) -> Array:
    """Return the weighted median of x [K, ...] over its first axis, under weights [K] that sum to 1."""
    order = np.argsort(x, axis=0, kind="stable")
    ordered, reached = np.take_along_axis(x, order, 0), np.cumsum(weight[order], axis=0)
    lower, upper = (np.argmax(reached >= half, axis=0)[None] for half in (0.5 - 1e-9, 0.5 + 1e-9))
    return np.asarray((np.take_along_axis(ordered, lower, 0) + np.take_along_axis(ordered, upper, 0))[0] / 2)


class Scorer(Protocol):
    """Score one prediction under any weights of its rows: point values and bootstrap alike."""

    def score(self, weights: Array) -> Mapping[str, Array]:
        """Return each metric under each weighting: `weights` float64 [B, N] -> metric -> float64 [B], nan where undefined."""


@dataclass(frozen=True)
class ModelResult:
    """One model's standing predictions on a split, for details and plots."""

    model: str
    tuning: str
    valid: Mapping[str, Any] | None
    """The ledger's entry of the chosen configuration on validation."""
    final: Mapping[str, Any]
    """The ledger's entry of its final fit."""
    prediction: Prediction
    valid_prediction: Prediction | None = None
    """The chosen configuration's prediction on validation, where the run has kept it."""
    combined: bool = False
    """Whether it is a mean of models, which has no fit of its own."""


@dataclass(frozen=True)
class InferenceInputs:
    """What models are asked, and what each row of their answers is of."""

    inputs: Any
    columns: Mapping[str, Any]
    """Column -> value of each row: users and cut-off, or names and times of series."""
    split: Split
    """What the task needs to bring answers into their final form; it holds no truth."""
    about: str = ""
    """Horizon and cut-off, for people."""
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Who of the new data is not asked about -> the reason; empty where nobody is left out, or a table says who counts."""


Ensembles: TypeAlias = Literal["grown", "few", "level"]


class Task(Protocol):
    """The task's side of the runner: derive from it; what has a body here may be left as it is.

    A task runs where the truth is, in the supervisor. What it hands to models is pickled: arrays, mappings of them, or the
    input classes of `bench` (`ChurnInputs`, `Panel`, `NextInputs`).
    """

    name: ClassVar[str]
    holds: ClassVar[tuple[str, ...]] = ("events",)
    """Kinds of data that it takes: events, series."""
    options: ClassVar[Mapping[str, str]] = {}
    """Keys that `--set` takes for this task, with a line of help."""
    metrics: ClassVar[Mapping[str, Metric]]
    """Column -> metric: the columns of a leaderboard row that are this task's own, each with `_low` and `_high`."""
    rankings: ClassVar[Mapping[str, RankingRule]]
    """Level of a row -> what ranks there; "" serves every level that is not named."""
    proper: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Level, as in `rankings` -> the metrics that a user may rank by (see `bench.tasks.ranked_by`), the task's own choice first."""
    unit: ClassVar[str] = "cases"
    """What is scored and resampled: users, series, entities."""
    settable: ClassVar[tuple[str, ...]] = ()
    """Options that new data may have of its own; all others are the run's."""
    blends: ClassVar[bool] = True
    """Predictions of several models may be averaged; rankings may not: their boards have no ensemble."""
    ensembles: ClassVar[Ensembles] = "grown"
    """How an ensemble's members are chosen: greedily from the best few; three, or fewer where that helps beyond doubt; all that are
    level with the best. See `bench.runs.ensemble`."""

    def splits(self, data: Events | Series, options: Mapping[str, str], profile: Profile, seed: int, *, simulated: bool) -> list[Split]:
        """Cut the data into stages, one split a board; raise `ProtocolError` where the rules do not allow it."""

    def invalid(self, split: Split, stage: StageName, part: int, arrays: Arrays) -> str:
        """Describe what is wrong with what a model gave for one part; empty: nothing."""

    def finished(self, split: Split, stage: StageName, prediction: Prediction, *, causal: bool) -> Finished:
        """Bring a valid prediction into the form that is stored and scored; `causal`: what its model says of itself."""
        return Finished(prediction)

    def objectives(self, split: Split, stage: StageName, prediction: Prediction) -> Mapping[str, Sequence[Objective]]:
        """Prepare the scores of a validation prediction, by tuning; the first tuning steers the search, each picks a final fit.

        A tuning has one objective for each cut-off, window or draw of injections that the stage validates on; its score
        is their mean.
        """

    def blendable(self, split: Split, stage: StageName, prediction: Prediction) -> Prediction:
        """Bring a finished prediction to a scale on which those of several models may be averaged."""
        return prediction

    def combined(self, parts: Sequence[tuple[Prediction, float]]) -> list[dict[str, Array]]:
        """Combine the blendable predictions of an ensemble's members, each with its weight, which sum to 1: their mean."""
        return weighted(parts)

    def averaged(self, split: Split, stage: StageName, predictions: Sequence[Prediction]) -> Finished:
        """Average the finished predictions of several configurations of one model; of a task that does not blend there is one, as it is."""
        if not self.blends:
            (only,) = predictions
            return Finished(only)
        return Finished(weighted([(self.blendable(split, stage, one), 1 / len(predictions)) for one in predictions]))

    def cross_fitted(self, split: Split, tuned: Prediction, second: Prediction) -> Prediction:
        """Join final predictions of the configurations that either half of the labels chose: each half has the other's."""
        return tuned

    def ahead(self, split: Split, stage: StageName, prediction: Prediction) -> Prediction | None:
        """Bring a causal model's finished prediction into the form of a league that may look ahead; None: there is one league."""
        return None

    def calibration(self, split: Split, valid: Mapping[StageName, Prediction]) -> dict[str, float]:
        """Learn from validation predictions how a final prediction is to be corrected; nothing where it would not help."""
        return {}

    def calibrated(self, prediction: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Apply what `calibration` returned."""
        return prediction

    def scorer(self, split: Split, prediction: Prediction) -> Scorer:
        """Prepare a final prediction for scoring."""

    def published(self, prediction: Prediction, metric: str) -> Prediction:
        """Return what is published of a stored prediction of a board that `metric` ranks: all that the numbers of a row are made of."""
        return prediction

    def inference_inputs(
        self, data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile
    ) -> InferenceInputs:
        """Bring new data into the form that a finished run's models are asked about.

        `run`: the board's part of `run.json`; `options`: the run's, and those of `settable` that were given anew. Raises
        `DataError` for data of another kind.
        """

    def answer_frame(self, asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
        """Lay out what a model answered about new data, one row a user, step or item."""

    def details(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """List what a report tells beyond the leaderboard: rates by cut-off, scores by horizon, series, kind."""
        return []

    def intervals(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """List for people when each model would have raised an alarm; empty where the task raises none."""
        return []

    def figures(self, split: Split, shown: Sequence[ModelResult], leader: str) -> dict[str, Any]:
        """Return what a report draws, ready for JSON; `leader`: the model that ranks first; empty: nothing to draw."""
        return {}
