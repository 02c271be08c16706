"""The anomaly task, version 3: score every step after a training prefix; three families, each a board of its own.

`labelled`: the source's labels; `spliced`: blocks of another real user; `injected`: parametric anomalies with decoys. A
model learns from prefixes alone. The search is steered by injections into the ends of the prefixes. Labels that came with
the data choose too: of two halves of the entities, parted by a hash of their names, each for the other.
Letters: N entities, T steps, B draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import polars as pl

from bench.api import hookimpl
from bench.data.events import Events
from bench.data.series import Series
from bench.errors import ConfigError, DataError, ProtocolError
from bench.metrics.anomaly import LARGEST, METRICS, row_standards, spread, threshold
from bench.metrics.areas import segments
from bench.metrics.kinds import Metric
from bench.tasks import ranked_by
from bench.tasks.anomaly import entities, new_data
from bench.tasks.anomaly.agreement import agreements, open_steps
from bench.tasks.anomaly.alarms import BUDGET, summary
from bench.tasks.anomaly.channels import over, together
from bench.tasks.anomaly.figures import collect
from bench.tasks.anomaly.inject import detection
from bench.tasks.anomaly.new_data import ALERTS
from bench.tasks.anomaly.plan import Marked, injected, labelled, spliced
from bench.tasks.anomaly.smoothing import moved, rolling_mean
from bench.tasks.anomaly.split import FEW_ANOMALOUS, RANKING, Final, split_of
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
from bench.tasks.profiles import Profile
from bench.tasks.ranked_by import as_wanted

PROPER = {"": ("vus_pr", "vus_roc", "auc_pr", "auc_roc")}
"""What may rank: areas, which no choice of a threshold can flatter."""


class Anomaly(Task):
    """The anomaly task as the runner sees it."""

    name: ClassVar[str] = "anomaly"
    holds: ClassVar[tuple[str, ...]] = ("events", "series")
    metrics: ClassVar[Mapping[str, Metric]] = METRICS
    rankings: ClassVar[Mapping[str, RankingRule]] = {"": RANKING}
    proper: ClassVar[Mapping[str, tuple[str, ...]]] = PROPER
    unit: ClassVar[str] = "entities"
    settable: ClassVar[tuple[str, ...]] = ("prefix", "users", "freq")
    options: ClassVar[Mapping[str, str]] = {
        "buffer": "widest buffer of VUS in steps (default 100 for labelled series, one season for users)",
        "smooth": "width of the centred mean over offline models' scores, off for none (default: half the buffer)",
        "smooth_causal": "width of the trailing mean over causal models' scores (default: off; their offline rows are smoothed)",
        "combine": "mean or max of the channels' scores, each in units of its own mean over the prefix (default search: whichever finds "
        "the injections into the prefixes)",
        "season": "steps of the main cycle (default by the step: 5 min 288, D 7)",
        "freq": "step at which a log is counted (default D)",
        "target": "count (of events, default) or sum (of their values)",
        "users": "most users of a log, those most active in the training part (default 100)",
        "prefix": "share of the steps to train on (default .15 for labelled series, .5 for users)",
        "family": "labelled, spliced or injected (default: all that the data allows)",
        "pool": "true: the series of all data sets on one board (default false)",
        "strength": "one strength for all injections instead of the grid; 0 changes nothing",
        ranked_by.OPTION: ranked_by.help_of(PROPER),
    }

    def splits(self, data: Events | Series, options: Mapping[str, str], profile: Profile, seed: int, *, simulated: bool) -> list[Split]:
        """Make the boards that the data allows: labels that came with it, and injections into it."""
        strength, wanted = _strength(options), options.get("family")
        if wanted not in {None, "labelled", "spliced", "injected"}:
            raise ConfigError(f"family={wanted!r} is unknown; use labelled, spliced or injected")
        marked: list[Marked] = []
        if isinstance(data, Series):
            found = entities.from_series(data, options)
            if found.labels is not None and wanted in {None, "labelled"}:
                marked.append(labelled(found, seed))
            if found.labels is None and wanted in {None, "injected"} and found.channels is not None:
                raise ProtocolError(
                    f"{data.name}: anomalies are injected into series of one value a step; name a label, or --set series.value"
                )
            if found.labels is None and wanted in {None, "injected"}:
                marked.append(injected(found, seed, strength))
        else:
            marked += _of_log(data, options, profile, seed, wanted, strength, simulated=simulated)
        if not marked:
            raise DataError(f"{data.name}: family={wanted!r} cannot be made of it; leave out --set family")
        cut = [as_wanted(split_of(one, options, profile, seed), options, PROPER[""], METRICS) for one in marked]
        # the seed places the anomalies and parts the entities: under another one the same data is another test
        return [replace(split, task_id=f"{split.task_id}/seed={seed}") for split in cut]

    def invalid(self, split: Split, stage: StageName, part: int, arrays: Arrays) -> str:
        """Describe what is wrong with scores: they must be float [N, T], finite."""
        if set(arrays) != {"prediction"}:
            return "predict returned a Forecast, expected an array of scores [N, T]"
        score, (n, steps) = arrays["prediction"], split.truths[stage].view(part).mask.shape
        shape = (n * split.facts.get("channels", 1), steps)
        if score.shape != shape:
            return f"predict returned shape {list(score.shape)}, expected {list(shape)}: a score for each step"
        if score.dtype.kind != "f":
            return f"predict returned {score.dtype}, expected floats"
        if not np.isfinite(score).all():
            return f"predict returned {int((~np.isfinite(score)).sum())} scores that are not finite, of {score.size}"
        return ""

    def finished(self, split: Split, stage: StageName, prediction: Prediction, *, causal: bool) -> Finished:
        """Smooth the scores: a trailing mean for a causal model, a centred one for an offline one; all of a mode by one width."""
        done = []
        for number, part in enumerate(prediction):
            # half of the largest number: sums and differences of scores are then numbers too
            score = np.clip(np.asarray(part["prediction"], np.float64), -LARGEST / 2, LARGEST / 2)
            view, channels = split.truths[stage].view(number), split.facts.get("channels", 1)
            width = split.facts.get("smooth_causal", split.facts["smooth"]) if causal else split.facts["smooth"]
            smooth = rolling_mean(score, width, centred=not causal, real=over(view.mask, channels))
            learnt = np.stack([view.learnt(n) for n in range(len(view.mask))]) if channels > 1 else view.mask
            done.append({"prediction": together(smooth, learnt, channels, split.facts.get("combine", "mean"))})
        return Finished(done)

    def cross_fitted(self, split: Split, tuned: Prediction, second: Prediction) -> Prediction:
        """Join final scores: the first half of the entities, whose labels chose `tuned`, is scored by `second`."""
        half = split.truths["final"].half[:, None]
        pairs = zip(second, tuned, strict=True)
        return [{"prediction": np.where(half, a["prediction"], b["prediction"])} for a, b in pairs]

    def ahead(self, split: Split, stage: StageName, prediction: Prediction) -> Prediction:
        """Bring a causal model's scores into the offline form: a trailing mean back to the middle of its window, or a centred one."""
        done = []
        for number, part in enumerate(prediction):
            mask, causal = split.truths[stage].view(number).mask, split.facts.get("smooth_causal", split.facts["smooth"])
            score = moved(part["prediction"], (causal - 1) // 2, mask)
            done.append({"prediction": score if causal > 1 else rolling_mean(score, split.facts["smooth"], centred=True, real=mask)})
        return done

    def objectives(self, split: Split, stage: StageName, prediction: Prediction) -> Mapping[str, Sequence[Objective]]:
        """Prepare the search stage's scores: by the injections into the prefixes, and by the labels of either half."""
        found = split.truths[stage].objectives(prediction, split.ranking.metric)
        return {tuning: [Objective(one.group, one.score)] for tuning, one in found.items()}

    def blendable(self, split: Split, stage: StageName, prediction: Prediction) -> Prediction:
        """Write scores in standard deviations of each entity's own training scores; see `row_standards`."""
        found = []
        for number, part in enumerate(prediction):
            view, score = split.truths[stage].view(number), part["prediction"]
            learnt = np.stack([view.learnt(n) for n in range(len(score))])
            found.append({"prediction": row_standards(score, view.mask, learnt)})
        return found

    def scorer(self, split: Split, prediction: Prediction) -> Scorer:
        """Prepare the scores of the entities that are scored."""
        scorer: Scorer = split.truths["final"].scorer(prediction[0]["prediction"])
        return scorer

    def inference_inputs(
        self, data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile
    ) -> InferenceInputs:
        """Bring new data into the form that the run's models are asked about; see `new_data`."""
        return new_data.inference_inputs(data, run, options, profile)

    def answer_frame(self, asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
        """Lay out answers about new data for people; see `new_data`."""
        return new_data.answer_frame(asked, arrays)

    def details(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """List each model's VUS-PR by entity, and what it found by kind and strength."""
        truth: Final = split.truths["final"]
        rows: list[dict[str, Any]] = []
        agreed = self._agreement_by_model(split, shown)
        for one in shown:
            base = {"model": one.model, "tuning": one.tuning}
            score = one.prediction[0]["prediction"]
            rows += [{**base, "by": "entity", "at": name, "vus_pr": value} for name, value in truth.by_entity(score).items()]
            steered = ((one.valid or {}).get("values") or {}).get("label-free")
            label_free = {"injections": steered, "agreement": agreed.get(one.model)}
            if any(found is not None for found in label_free.values()):
                whole = float(truth.scorer(score).score(np.ones((1, len(truth.group))))["vus_pr"][0])
                both = [(at, float(found)) for at, found in label_free.items() if found is not None]
                rows += [{**base, "by": "steering", "at": at, "search_score": found, "vus_pr": whole} for at, found in both]
            alarms = [truth.raised(score, n) for n in truth.group.tolist()]
            told = summary([truth.labels[n, truth.steps(n)] for n in truth.group.tolist()], alarms, truth.clock.step)
            rows.append({**base, "by": "alarms", "at": f"{BUDGET:.0%} budget", **told})
            alarm = truth.alarm(score, ALERTS)
            rows += [{**base, "by": "kind", "at": found.pop("kind"), **found} for found in detection(alarm, truth.incidents, 0.5)]
        return rows

    def _agreement_by_model(self, split: Split, shown: Sequence[ModelResult]) -> dict[str, float]:
        """Return how each model's scores agree with all others' in the search stage's first draw; those of floors are compared too."""
        own = [(one.model, one.valid_prediction) for one in shown if one.valid_prediction and not one.combined]
        if split.no_search_reason:
            return {}
        seen = open_steps(split.truths["search"].view(0))
        found = agreements([self.blendable(split, "search", prediction)[0]["prediction"][seen] for _, prediction in own])
        return {model: float(value) for (model, _), value in zip(own, found, strict=True) if np.isfinite(value)}

    def intervals(self, split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
        """List for people when each model would have raised an alarm: `start`, `end` (times or steps) and severity.

        Severity is how far the highest score lies above the limit of the entity's prefix, in units of its scores' spread.
        """
        truth: Final = split.truths["final"]
        rows = []
        for one in shown:
            for n in truth.group.tolist():
                steps, alarm = truth.steps(n), truth.raised(one.prediction[0]["prediction"], n)
                score, prefix = one.prediction[0]["prediction"][n, steps], one.prediction[0]["prediction"][n, truth.prefix(n)]
                first, last = segments(alarm)
                for start, end in zip(first.tolist(), (last + 1).tolist(), strict=True):
                    with np.errstate(over="ignore"):  # a spike of 1e300
                        severity = float((score[start:end].max() - threshold(prefix, ALERTS)) / spread(prefix))
                    ends = truth.moment(n, int(steps[start])), truth.moment(n, int(steps[end - 1]))
                    row = {"model": one.model, "tuning": one.tuning, "entity": truth.names[n], "start": ends[0], "end": ends[1]}
                    rows.append({**row, "severity": min(severity, LARGEST)})
        return rows

    def figures(self, split: Split, shown: Sequence[ModelResult], leader: str) -> dict[str, Any]:
        """Draw each model's best, median and worst entity: values, score, threshold and the true windows."""
        truth: Final = split.truths["final"]
        rows = truth.group
        if not shown or not len(rows):
            return {}
        names = [truth.names[n] for n in rows]
        time = [[truth.moment(n, step) for step in range(truth.mask.shape[1])] for n in (rows.tolist() if len(truth.time) > 1 else [0])]
        scores = {one.model: np.where(truth.mask, one.prediction[0]["prediction"], np.nan)[rows] for one in shown}
        limits = {
            one.model: np.array([threshold(one.prediction[0]["prediction"][n, truth.prefix(n)], ALERTS) for n in rows]) for one in shown
        }
        judged = {}
        for one in shown:
            each = truth.by_entity(one.prediction[0]["prediction"])
            judged[one.model] = np.array([each.get(name, np.nan) for name in names])
        first_last = [list(zip(*(ends.tolist() for ends in segments(truth.labels[n])), strict=True)) for n in rows]
        clock: Any = time if len(truth.time) > 1 else time[0]
        return collect(names, clock, truth.values[rows], scores, limits, first_last, truth.until[rows].tolist(), leader, judged=judged)


def _of_log(
    events: Events, options: Mapping[str, str], profile: Profile, seed: int, wanted: str | None, strength: float | None, *, simulated: bool
) -> list[Marked]:
    """Make the families of a log; users with a simulated incident are for the labelled one alone."""
    own = events.incidents
    users = set() if own is None else set(own["user"]) - {"*"}
    marked = []
    if users and wanted in {None, "labelled"}:
        own_labels = labelled(entities.with_incidents(events, options, profile, users, simulated=simulated), seed)
        # a simulator of few users has few incidents: a board of two or three is worth its time only to who asks for it
        if wanted or not simulated or own_labels.anomalous >= FEW_ANOMALOUS:
            marked.append(own_labels)
    elif wanted == "labelled":
        raise ProtocolError(f"{events.name}: the log has no labelled incidents; leave out --set family=labelled")
    if wanted in {None, "spliced", "injected"}:
        among = sorted(set(events.frame["user"].unique().cast(str)) - users) if users else None
        clean = entities.from_log(events, options, profile, simulated=simulated, among=among)
        makers = {"spliced": spliced, "injected": injected}
        marked += [make(clean, seed, strength) for family, make in makers.items() if wanted in {None, family}]
    return marked


def _strength(options: Mapping[str, str]) -> float | None:
    text = options.get("strength")
    if text is None:
        return None
    try:
        strength = float(text)
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= 100:
        raise ConfigError(f"strength={text!r} is no strength; use 0 to 100, in spreads of the entity")
    return strength


@hookimpl
def bench_tasks() -> list[type[Anomaly]]:
    """Offer the task."""
    return [Anomaly]
