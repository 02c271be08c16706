"""The next-event task, version 1: rank the full catalogue by what a user will take next, at global cut-offs.

`protocol` cuts the log, `rows` asks about moments, `split` puts both stages together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl

from bench.api import hookimpl
from bench.data.events import Events
from bench.data.ranking import NOTHING, NextInputs
from bench.data.series import Series
from bench.errors import DataError
from bench.metrics.kinds import Metric
from bench.metrics.next_event import METRICS, kind_scorer, ranking_scorer
from bench.tasks import ranked_by
from bench.tasks.base import (
    Arrays,
    Finished,
    InferenceInputs,
    ModelResult,
    Objective,
    Prediction,
    RankingRule,
    Scorer,
    Split,
    StageName,
    Task,
)
from bench.tasks.next_event import new_data
from bench.tasks.next_event.details import details
from bench.tasks.next_event.figures import figures
from bench.tasks.next_event.split import RANKINGS, split
from bench.tasks.profiles import Profile
from bench.tasks.ranked_by import as_wanted

PROPER = {"": ("ndcg_10", "recall_10", "mrr_10", "hit_1"), "kind": ("accuracy", "macro_f1", "kind_log_loss")}
"""What may rank, by what is ranked: items or kinds."""
PUBLISHED = 20
"""Places of a ranking that are published, of a hundred that are stored: the rest was four fifths of a published run."""


class NextEvent(Task):
    """The next-event task as the runner sees it."""

    name: ClassVar[str] = "next-event"
    holds: ClassVar[tuple[str, ...]] = ("events",)
    metrics: ClassVar[Mapping[str, Metric]] = METRICS
    rankings: ClassVar[Mapping[str, RankingRule]] = RANKINGS
    proper: ClassVar[Mapping[str, tuple[str, ...]]] = PROPER
    unit: ClassVar[str] = "users"
    settable: ClassVar[tuple[str, ...]] = ("cutoff",)
    options: ClassVar[Mapping[str, str]] = {
        "target": "item (default) or kind (default where the log has no items): what is ranked",
        "horizon": "length of the test and of the validation before it: 28d (default: the last tenth of the events, whole days)",
        "asked": "successive (default: every moment of the test) or last (each user's last one)",
        "support": "events that an item needs before the first cut-off to be ranked (default 5)",
        "repeats": "counted or filtered (default: filtered where the data's card says that an item is taken once)",
        ranked_by.OPTION: ranked_by.help_of(PROPER),
    }

    def splits(self, data: Events | Series, options: Mapping[str, str], profile: Profile, seed: int, *, simulated: bool) -> list[Split]:
        """Cut the log; nothing is drawn, so that `seed` changes nothing."""
        if not isinstance(data, Events):
            raise DataError(f"data set {data.name!r} holds series; next-event needs an event log, one row an event with user and time")
        made = split(data, options, profile)
        return [as_wanted(made, options, PROPER["kind" if made.facts["target"] == "kind" else ""], METRICS)]

    def invalid(self, split: Split, stage: StageName, part: int, arrays: Arrays) -> str:
        """Describe what is wrong with a ranking: items int [N, K], none twice nor outside, scores finite."""
        inputs: NextInputs = split.stages[stage].parts[part]
        if set(arrays) != {"items", "scores"}:
            return "predict returned no Ranking(items, scores)"
        items, scores, shape = arrays["items"], arrays["scores"], (len(inputs), inputs.places)
        if items.shape != shape or scores.shape != shape:
            return f"predict returned items {list(items.shape)} and scores {list(scores.shape)}, expected {list(shape)} each"
        if items.dtype.kind != "i" or scores.dtype.kind != "f":
            return f"predict returned items of {items.dtype} and scores of {scores.dtype}, expected whole numbers and floats"
        if not np.isfinite(scores).all():
            return f"predict returned {int((~np.isfinite(scores)).sum())} scores that are not finite"
        return _wrong_items(np.asarray(items), inputs) or _wrong_chances(np.asarray(items), np.asarray(scores), inputs)

    def finished(self, split: Split, stage: StageName, prediction: Prediction, *, causal: bool) -> Finished:
        """Store rankings as int32 and scores as float32; of what is scored no metric reads the scores of items, which take most room."""
        scored = split.facts["target"] == "kind" or split.truths[stage] is None
        kept = [{"items": p["items"].astype(np.int32)} | ({"scores": p["scores"].astype(np.float32)} if scored else {}) for p in prediction]
        return Finished(kept)

    def objectives(self, split: Split, stage: StageName, prediction: Prediction) -> Mapping[str, Sequence[Objective]]:
        """Score a validation by what ranks: nDCG@10, or accuracy of kinds."""
        scorer, metric = _scorer(split, stage, prediction), split.ranking.metric
        return {"tuned": [Objective(split.truths[stage].group, lambda weights: np.asarray(scorer.score(weights)[metric]))]}

    def blendable(self, split: Split, stage: StageName, prediction: Prediction) -> Prediction:
        """Leave rankings as they are; `blends` says that they cannot be averaged."""
        return prediction

    blends: ClassVar[bool] = False

    def scorer(self, split: Split, prediction: Prediction) -> Scorer:
        """Look the targets up once."""
        return _scorer(split, "final", prediction)

    def published(self, prediction: Prediction, metric: str) -> Prediction:
        """Keep the first places of a ranking of items, without scores: no number of a row looks at more than ten."""
        if metric in PROPER["kind"]:
            return prediction
        return [{"items": part["items"][:, :PUBLISHED]} for part in prediction]

    def inference_inputs(
        self, data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile
    ) -> InferenceInputs:
        """Bring new data into the form that the run's models are asked about; see `new_data`."""
        return new_data.inference_inputs(data, run, options)

    def answer_frame(self, asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
        """Lay out the first places of each user; see `new_data`."""
        return new_data.answer_frame(asked, arrays)

    def details(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """List recall at k of each model, for all targets, repeats and new ones."""
        return details(split, shown)

    def intervals(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """Raise no alarm."""
        return []

    def figures(self, split: Split, shown: Sequence[ModelResult], leader: str) -> dict[str, Any]:
        """Choose users for a table of what came and what was foretold; all else is drawn from rows and details."""
        return figures(split, shown, leader)


def _wrong_items(items: np.ndarray[Any, Any], inputs: NextInputs) -> str:
    least, most = items.min(initial=0), items.max(initial=0)
    if least < NOTHING or most >= inputs.items:
        return f"predict ranked items from {least} to {most}, the catalogue has 0 to {inputs.items - 1} (and -1 for an empty place)"
    ordered = np.sort(items, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        row = int(np.flatnonzero(twice.any(1))[0])
        return f"predict ranked item {int(ordered[row, 1:][twice[row]][0])} twice in row {row}"
    return ""


def _wrong_chances(items: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], inputs: NextInputs) -> str:
    """Check that the scores of kinds are probabilities of all of them."""
    if inputs.target != "kind" or inputs.items > inputs.places:
        return ""
    if (items < 0).any():
        return "predict left out a kind; of kinds, all are ranked"
    if scores.min(initial=0.0) < 0 or np.abs(scores.sum(1) - 1).max(initial=0.0) > 1e-3:
        return "predict gave kinds scores that are no probabilities; they must sum to 1"
    return ""


def _scorer(split: Split, stage: StageName, prediction: Prediction) -> Scorer:
    arrays, truth = prediction[0], split.truths[stage]
    if split.facts["target"] == "kind":
        return kind_scorer(truth, arrays["items"], arrays["scores"])
    return ranking_scorer(truth, arrays["items"])


@hookimpl
def bench_tasks() -> list[type[NextEvent]]:
    """Offer the task."""
    return [NextEvent]
