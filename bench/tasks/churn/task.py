"""The churn task, version 1: find, of the users active until a cut-off, those who do nothing in the horizon after it.

`protocol` derives labels from the log; where they come with the data, `given_labels` splits instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl

from bench.api import hookimpl
from bench.data.events import Events
from bench.data.series import Series
from bench.errors import DataError, ProtocolError
from bench.metrics.churn import METRICS, ranked
from bench.metrics.kinds import Metric
from bench.tasks import ranked_by, validations
from bench.tasks.base import (
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
    StageName,
    Task,
)
from bench.tasks.churn import given_labels, new_data
from bench.tasks.churn.calibration import Fold, calibrated, calibration
from bench.tasks.churn.figures import collect
from bench.tasks.churn.history import prepare
from bench.tasks.churn.protocol import build, choose
from bench.tasks.churn.rows import RANKING
from bench.tasks.profiles import Profile
from bench.tasks.ranked_by import as_wanted
from bench.tasks.validations import validations_wanted

PROPER = {"": ("roc_auc", "ap_churn", "log_loss", "brier")}
"""What may rank a board of churn."""


class Churn(Task):
    """The churn task as the runner sees it."""

    name: ClassVar[str] = "churn"
    holds: ClassVar[tuple[str, ...]] = ("events",)
    metrics: ClassVar[Mapping[str, Metric]] = METRICS
    rankings: ClassVar[Mapping[str, RankingRule]] = {"": RANKING}
    proper: ClassVar[Mapping[str, tuple[str, ...]]] = PROPER
    unit: ClassVar[str] = "users"
    ensembles: ClassVar[Ensembles] = "level"
    settable: ClassVar[tuple[str, ...]] = ("cutoff",)
    options: ClassVar[Mapping[str, str]] = {
        "horizon": "days without activity that make a churned user: 28d (default: from the log's gaps)",
        "eligible": "h (active within one horizon before the cut-off, default) or ever",
        "cutoffs": "number of training cut-offs, a horizon apart (default 3), all, or dense (all, a quarter of a horizon apart)",
        "split": "time (default) or time+user (20 % of the users are only ever tested)",
        validations.OPTION: validations.HELP,
        ranked_by.OPTION: ranked_by.help_of(PROPER),
    }

    def splits(self, data: Events | Series, options: Mapping[str, str], profile: Profile, seed: int, *, simulated: bool) -> list[Split]:
        """Cut the log; `seed` only chooses which training rows a cap keeps."""
        if not isinstance(data, Events):
            raise DataError(f"data set {data.name!r} holds series; churn needs an event log, one row an event with user and time")
        return [as_wanted(self.split(data, options, profile, seed), options, self.proper[""], METRICS)]

    def split(self, events: Events, options: Mapping[str, str], profile: Profile, seed: int) -> Split:
        """Cut the log by time, or by entity where its labels are given."""
        history = prepare(events)
        if not len(history.active.time):
            kinds = ", ".join(events.kinds)
            raise ProtocolError(f"{events.name}: no event is of an activity kind ({', '.join(events.activity)}); the log has {kinds}")
        if events.labels is not None:
            return given_labels.split(events, history, options, profile, seed)
        protocol = choose(history, options, events.name, validations_wanted(options, profile))
        return build(events, history, protocol, profile, seed)

    def invalid(self, split: Split, stage: StageName, part: int, arrays: Arrays) -> str:
        """Describe what is wrong with P(churn): it must be float [N], finite, within [0, 1]."""
        if set(arrays) != {"prediction"}:
            return "predict returned a Forecast, expected an array of probabilities"
        prediction, rows = arrays["prediction"], len(split.truths[stage].y)
        if prediction.shape != (rows,):
            return f"predict returned shape {list(prediction.shape)}, expected [{rows}]"
        if prediction.dtype.kind != "f":
            return f"predict returned {prediction.dtype}, expected floats"
        if not np.isfinite(prediction).all():
            return f"predict returned {int((~np.isfinite(prediction)).sum())} values that are not finite, of {rows}"
        if prediction.min(initial=0.0) < 0 or prediction.max(initial=0.0) > 1:
            return f"predict returned values from {prediction.min():.3g} to {prediction.max():.3g}, expected probabilities in [0, 1]"
        return ""

    def finished(self, split: Split, stage: StageName, prediction: Prediction, *, causal: bool) -> Finished:
        """Leave the probabilities as they are; their mean is kept for the report."""
        return Finished(prediction, about={"mean": float(prediction[0]["prediction"].mean())})

    def objectives(self, split: Split, stage: StageName, prediction: Prediction) -> Mapping[str, Sequence[Objective]]:
        """Score a validation cut-off by what ranks: ROC AUC, unless the user has chosen another metric."""
        truth, metric = split.truths[stage], split.ranking.metric
        order = ranked(truth.y, prediction[0]["prediction"], 0.5)
        return {"tuned": [Objective(truth.group, lambda weights: np.asarray(order.score(weights)[metric]))]}

    def averaged(self, split: Split, stage: StageName, predictions: Sequence[Prediction]) -> Finished:
        """Average probabilities."""
        return self.finished(split, stage, super().averaged(split, stage, predictions).prediction, causal=True)

    def blendable(self, split: Split, stage: StageName, prediction: Prediction) -> Prediction:
        """Average as they are."""
        return prediction

    def calibration(self, split: Split, valid: Mapping[StageName, Prediction]) -> dict[str, float]:
        """Fit one line through the log-odds over all validations; see `bench.tasks.churn.calibration`."""
        truths = split.truths
        folds = [Fold(p[0]["prediction"], truths[s].y, truths[s].group) for s, p in valid.items()]
        return calibration(folds, level=split.facts.get("eligible") == "given")

    def calibrated(self, prediction: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Apply the line."""
        return [{"prediction": calibrated(prediction[0]["prediction"], calibration)}]

    def scorer(self, split: Split, prediction: Prediction) -> Scorer:
        """Sort the probabilities once."""
        rates = split.facts["train_rate"], split.facts["last_rate"]
        return ranked(split.truths["final"].y, prediction[0]["prediction"], *rates)

    def inference_inputs(
        self, data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile
    ) -> InferenceInputs:
        """Bring new data into the form that the run's models are asked about; see `new_data`."""
        return new_data.inference_inputs(data, run, options, profile)

    def answer_frame(self, asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
        """Lay out answers about new data for people; see `new_data`."""
        return new_data.answer_frame(asked, arrays)

    def details(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """List predicted against actual churn at the validation and the test cut-off, for each model's best configuration.

        The validation prediction is that of the configuration chosen there; the test prediction that of its final fit.
        """
        facts, found = split.facts, []
        for one in shown:
            for cutoff, prediction in ((facts["valid_cutoff"], one.valid_prediction), (facts["test_cutoff"], one.prediction)):
                if prediction is not None:
                    mean = float(prediction[0]["prediction"].mean())
                    rates = {"predicted": mean, "actual": facts["churn_by_cutoff"][cutoff]}
                    found.append({"model": one.model, "tuning": one.tuning, "cutoff": cutoff, **rates})
        return found

    def intervals(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """Raise no alarm."""
        return []

    def figures(self, split: Split, shown: Sequence[ModelResult], leader: str) -> dict[str, Any]:
        """Draw each model's curves on the test, and its reliability on validation and test."""
        if not shown:
            return {}
        valid, test = split.facts["valid_cutoff"], split.facts["test_cutoff"]
        truth = {valid: split.truths["search"].y, test: split.truths["final"].y}
        predictions = {one.model: {test: one.prediction[0]["prediction"]} for one in shown}
        for one in shown:
            if one.valid_prediction is not None:
                predictions[one.model][valid] = one.valid_prediction[0]["prediction"]
        return collect(split.facts["churn_by_cutoff"], truth, predictions, leader, reference=split.ranking.reference)


@hookimpl
def bench_tasks() -> list[type[Churn]]:
    """Offer the task."""
    return [Churn]
