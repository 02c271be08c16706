"""The churn task, version 1: find, of the users active until a cut-off, those who do nothing in the horizon after it.

Rule (RelBench's): at cut-off t a user is eligible with at least one activity in (t - H, t] (`eligible=ever`: any
before), and churned with none in (t, t + H]. Test, validation and training cut-offs step back from the log's end by H.
Where labels come with the data, `bench.tasks.given` splits instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np

from bench.api import Array, ChurnInputs, ChurnTrain
from bench.durations import parse_duration, show_duration
from bench.errors import ConfigError, DataError, ProtocolError
from bench.events import Events
from bench.metrics.churn import METRICS, churn_metrics, ranked
from bench.metrics.kinds import Metric
from bench.profiles import Profile
from bench.ragged import hashed
from bench.series import Series
from bench.tasks.base import Arrays, Board, Finished, Prediction, Scorer, Shown, Split, Stage, StageName, Truth
from bench.tasks.history import DAY, History, prepare, rows_at

BOARD = Board("roc_auc", higher=True, reference="rfm-logit", penalty=0.0)
HORIZONS = (7 * DAY, 28 * DAY, 91 * DAY)
FEW_USERS, FEW_OF_A_CLASS = 200, 30
TESTED_ONLY = 0.2
"""Share of the users that `split=time+user` never trains on."""


@dataclass(frozen=True)
class Protocol:
    """Hold the choices of one churn split; times in microseconds since 1970, UTC."""

    horizon: int
    ever: bool
    by_user: bool
    fit: tuple[int, ...]
    """Training cut-offs, latest first."""
    valid: int
    test: int

    def task_id(self, activity: tuple[str, ...], caps: str) -> str:
        """Spell every choice that makes two scores comparable."""
        kinds = "+".join(activity)
        return (
            f"churn/v1/h={show_duration(self.horizon)}/elig={'ever' if self.ever else 'h'}"
            f"/split={'time+user' if self.by_user else 'time'}/cutoffs={len(self.fit)}/activity={kinds}/{caps}"
        )


@dataclass(frozen=True)
class Labelled:
    """Hold one cut-off's rows: inputs, labels, and the users as indices into the history."""

    inputs: ChurnInputs
    y: Array
    users: Array


class Churn:
    """The churn task as the runner sees it."""

    name: ClassVar[str] = "churn"
    holds: ClassVar[tuple[str, ...]] = ("events",)
    metrics: ClassVar[Mapping[str, Metric]] = METRICS
    options: ClassVar[Mapping[str, str]] = {
        "horizon": "days without activity that make a churned user: 28d (default: from the log's gaps)",
        "eligible": "h (active within one horizon before the cut-off, default) or ever",
        "cutoffs": "number of training cut-offs (default 3)",
        "split": "time (default) or time+user (20 % of the users are only ever tested)",
    }

    def splits(self, data: Events | Series, options: Mapping[str, str], profile: Profile, seed: int, *, simulated: bool) -> list[Split]:
        """Cut the log; `seed` only chooses which training rows a cap keeps."""
        if not isinstance(data, Events):
            raise DataError(f"data set {data.name!r} holds series; churn needs an event log, one row an event with user and time")
        return [self.split(data, options, profile, seed)]

    def split(self, events: Events, options: Mapping[str, str], profile: Profile, seed: int) -> Split:
        """Cut the log by time, or by entity where its labels are given."""
        history = prepare(events)
        if not len(history.active.time):
            kinds = ", ".join(events.kinds)
            raise ProtocolError(f"{events.name}: no event is of an activity kind ({', '.join(events.activity)}); the log has {kinds}")
        if events.labels is not None:
            from bench.tasks import given

            return given.split(events, history, options, profile, seed)
        protocol = choose(history, options, events.name)
        return build(events, history, protocol, profile, seed)

    def invalid(self, split: Split, stage: StageName, part: int, arrays: Arrays) -> str:
        """Say what is wrong with P(churn): it must be float [N], finite, within [0, 1]."""
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

    def values(self, split: Split, stage: StageName, prediction: Prediction) -> Mapping[str, float]:
        """Score on validation: ROC AUC."""
        return {"tuned": float(churn_metrics(split.truths[stage].y, prediction[0]["prediction"], base_rate=0.5)["roc_auc"][0])}

    def steer(self, split: Split, prediction: Prediction) -> float:
        """Score on validation."""
        return self.values(split, "search", prediction)["tuned"]

    def blendable(self, split: Split, stage: StageName, prediction: Prediction) -> Prediction:
        """Average as they are."""
        return prediction

    def scorer(self, split: Split, prediction: Prediction) -> Scorer:
        """Sort the probabilities once."""
        return ranked(split.truths["final"].y, prediction[0]["prediction"], split.facts["train_rate"])

    def details(self, split: Split, shown: Sequence[Shown]) -> list[dict[str, Any]]:
        """List predicted against actual churn at the validation and the test cut-off, for each model's best configuration.

        The validation prediction is that of the configuration chosen there; the test prediction that of its final fit.
        """
        facts, found = split.facts, []
        for one in shown:
            for cutoff, entry in ((facts["valid_cutoff"], one.valid), (facts["test_cutoff"], one.final)):
                if entry is not None and entry["status"] == "ok":
                    rates = {"predicted": entry["about"]["mean"], "actual": facts["churn_by_cutoff"][cutoff]}
                    found.append({"model": one.model, "tuning": one.tuning, "cutoff": cutoff, **rates})
        return found

    def intervals(self, split: Split, shown: Sequence[Shown]) -> list[dict[str, Any]]:
        """Raise no alarm."""
        return []

    def figures(self, split: Split, shown: Sequence[Shown], leader: str) -> dict[str, Any]:
        """Draw each model's curves on the test, and its reliability on validation and test."""
        from bench.report.churn_figures import collect
        from bench.tune.predictions import read_prediction

        if not shown:
            return {}
        valid, test = split.facts["valid_cutoff"], split.facts["test_cutoff"]
        truth = {valid: split.truths["search"].y, test: split.truths["final"].y}
        predictions = {one.model: {test: one.prediction[0]["prediction"]} for one in shown}
        for one in shown:
            if one.valid_file is not None:
                predictions[one.model][valid] = read_prediction(one.valid_file)[0]["prediction"]
        return collect(split.facts["churn_by_cutoff"], truth, predictions, leader, reference=split.board.reference)


def choose(history: History, options: Mapping[str, str], name: str) -> Protocol:
    """Fix horizon and cut-offs from the options and the log; raise `ProtocolError` with the dates."""
    wanted = _cutoffs_wanted(options)
    eligible, split = options.get("eligible", "h"), options.get("split", "time")
    if eligible not in {"h", "ever"}:
        raise ConfigError(f"eligible={eligible!r} is unknown; use h or ever")
    if split not in {"time", "time+user"}:
        raise ConfigError(f"split={split!r} is unknown; use time or time+user")
    given = options.get("horizon")
    horizon = default_horizon(history, min(wanted, 2)) if given is None else parse_duration(given, name="horizon")
    test, valid, fit = cutoffs(history, horizon, wanted)
    if not fit:
        raise ProtocolError(_too_short(history, horizon, name))
    return Protocol(horizon, eligible == "ever", split == "time+user", fit, valid, test)


def cutoffs(history: History, horizon: int, wanted: int) -> tuple[int, int, tuple[int, ...]]:
    """Step back from the log's end by the horizon: (test, validation, training cut-offs with H of history)."""
    test = (history.last - horizon) // DAY * DAY
    valid = test - horizon
    fit = (valid - k * horizon for k in range(1, wanted + 1))
    return test, valid, tuple(t for t in fit if t - horizon >= history.first // DAY * DAY)


def default_horizon(history: History, needed: int) -> int:
    """Choose the smallest of 7, 28, 91 days >= the 90th percentile of gaps, stepped down until enough cut-offs exist."""
    typical = np.quantile(history.gaps, 0.9) * DAY if len(history.gaps) else 0
    at = next((i for i, h in enumerate(HORIZONS) if h >= typical), len(HORIZONS) - 1)
    while at > 0 and len(cutoffs(history, HORIZONS[at], needed)[2]) < needed:
        at -= 1
    return HORIZONS[at]


def eligible(history: History, cutoff: int, horizon: int, *, ever: bool) -> Array:
    """Find the users with activity in the horizon before a cut-off, or ever before it: indices, int64."""
    until = history.active.events_until(cutoff)
    before = np.zeros_like(until) if ever else history.active.events_until(cutoff - horizon)
    return np.flatnonzero(until > before)


def label(history: History, cutoff: int, protocol: Protocol, longest: int | None, kinds: tuple[str, ...]) -> Labelled:
    """Find who is eligible at a cut-off and who churned after it.

    The inputs come from `rows_at`, which reads nothing after the cut-off; the labels come from (t, t + H] alone.
    """
    until = history.active.events_until(cutoff)
    users = eligible(history, cutoff, protocol.horizon, ever=protocol.ever)
    after = history.active.events_until(cutoff + protocol.horizon)
    y = (after == until)[users].astype(np.int8)
    return Labelled(rows_at(history, users, cutoff, protocol.horizon, longest, kinds), y, users)


def build(events: Events, history: History, protocol: Protocol, profile: Profile, seed: int) -> Split:
    """Make both stages: search (fit -> validation) and final (fit + validation -> test)."""
    kinds = known_kinds(events, min(protocol.fit))
    at = {t: label(history, t, protocol, profile.history, kinds) for t in (*protocol.fit, protocol.valid, protocol.test)}
    tested = _tested_only(events) if protocol.by_user else None
    valid, test = at[protocol.valid], at[protocol.test]
    fit = [at[t] for t in protocol.fit]
    if tested is not None:
        fit, valid = [_among(part, ~tested) for part in fit], _among(valid, ~tested)
        test = _among(test, tested)
    stages: dict[StageName, Stage] = {
        "search": Stage(training(fit, profile.rows, seed), (valid.inputs,)),
        "final": Stage(training([*fit, valid], profile.rows, seed), (test.inputs,)),
    }
    truths: dict[StageName, Truth] = {
        "search": Truth(valid.y, valid.inputs.group),
        "final": Truth(test.y, test.inputs.group),
    }
    facts = {**_facts(protocol, stages, at, test), "eligible": "ever" if protocol.ever else "h", "kinds": list(kinds)}
    opening = f"horizon {facts['horizon_days']:g} days; cut-offs {', '.join(facts['churn_by_cutoff'])}"
    judged = judge(facts, truths, profile, sum(len(p.y) for p in (*fit, valid)), opening)
    members = {"user": ids_of(events)[test.users].tolist(), "cutoff": [day(protocol.test)] * len(test.users)}
    return whole(protocol.task_id(events.activity, profile.caps()), stages, truths, facts, judged, members)


def whole(
    task_id: str,
    stages: Mapping[StageName, Stage],
    truths: Mapping[StageName, Truth],
    facts: Mapping[str, Any],
    judged: tuple[tuple[str, ...], str, tuple[str, ...]],
    members: Mapping[str, Any],
) -> Split:
    """Put a churn split together; `judged`: flags, reason and notes, of `judge`."""
    flags, reason, notes = judged
    columns = {name: facts[name] for name in ("horizon_days", "n_test", "base_rate")}
    context = {"horizon": facts["horizon_days"], "loss": "bce"}
    return Split(task_id, stages, truths, facts, notes, flags, reason, BOARD, columns, context, members)


def known_kinds(events: Events, cutoff: int) -> tuple[str, ...]:
    """List the kinds seen by the first training cut-off; index 0 stands for all others, now and later."""
    import polars as pl

    seen = events.frame.filter(pl.col("time").to_physical() <= cutoff)["kind"].unique().cast(pl.String)
    return ("?", *sorted(seen))


def training(parts: list[Labelled], rows: int | None, seed: int) -> ChurnTrain:
    """Join parts into one training set, capped to `rows` by a seeded hash of (user, cut-off)."""
    if rows is not None and sum(len(p.y) for p in parts) > rows:
        mixed = [hashed(p.inputs.group * 1_000_003 + (p.inputs.cutoff * 1_440).astype(np.int64), seed) for p in parts]
        limit = np.partition(np.concatenate(mixed), rows)[rows]
        parts = [among_rows(p, m < limit) for p, m in zip(parts, mixed, strict=True)]
    return ChurnTrain(**joined([p.inputs for p in parts]), y=np.concatenate([p.y for p in parts]))


def joined(parts: Sequence[ChurnInputs]) -> dict[str, Any]:
    """Put inputs of the same kinds under each other; gives the fields of `ChurnInputs`."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("days_before_cutoff", "gap", "kind", "value", "count", "static", "cutoff", "group")
    }
    offsets = np.r_[0, np.cumsum(np.concatenate([p.lengths for p in parts]))].astype(np.int64)
    return {"offsets": offsets, **columns, "kinds": parts[0].kinds}


def _among(part: Labelled, chosen: Array) -> Labelled:
    """Keep the rows whose user is chosen, bool [U]."""
    return among_rows(part, chosen[part.users])


def among_rows(part: Labelled, rows: Array) -> Labelled:
    """Keep rows by index or mask, with their labels and users."""
    return Labelled(part.inputs.take(rows), part.y[rows], part.users[rows])


def ids_of(events: Events) -> Array:
    """List the ids of all users, str [U], in the order of their codes."""
    return np.array(events.frame["user"].dtype.categories.to_list(), dtype=np.str_)  # type: ignore[attr-defined]


def _tested_only(events: Events) -> Array:
    """Choose 20 % of the users by a hash of their id, bool [U]: the same users whatever else the log holds."""
    ids = ids_of(events)
    numbers = (int.from_bytes(hashlib.sha256(i.encode()).digest()[:4], "big") for i in ids)
    return np.fromiter(numbers, np.int64, len(ids)) < TESTED_ONLY * 2**32


def _cutoffs_wanted(options: Mapping[str, str]) -> int:
    text = options.get("cutoffs", "3")
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"cutoffs={text!r} is no number of training cut-offs; use 1 or more")
    return int(text)


def day(microseconds: int) -> str:
    """Write a time as its UTC day."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).date().isoformat()


def _too_short(history: History, horizon: int, name: str) -> str:
    test, valid, _ = cutoffs(history, horizon, 1)
    need = show_duration(horizon)
    longest = max((history.last // DAY - history.first // DAY) // 5, 0)
    return (
        f"{name}: horizon {need} does not fit a log from {day(history.first)} to {day(history.last)}: test cut-off {day(test)}, "
        f"validation {day(valid)}, first training cut-off {day(valid - horizon)}, which needs {need} of history before it; "
        + (f"try --set horizon={longest}d" if longest else "give a longer log")
    )


def _facts(protocol: Protocol, stages: Mapping[StageName, Stage], at: Mapping[int, Labelled], test: Labelled) -> dict[str, Any]:
    churned = {day(t): float(part.y.mean()) if len(part.y) else float("nan") for t, part in sorted(at.items())}
    return {
        "horizon_days": protocol.horizon / DAY,
        "fit_cutoffs": [day(t) for t in sorted(protocol.fit)],
        "valid_cutoff": day(protocol.valid),
        "test_cutoff": day(protocol.test),
        "churn_by_cutoff": churned,
        **sizes(stages, test.y),
    }


def sizes(stages: Mapping[StageName, Stage], test: Array) -> dict[str, Any]:
    """Tell how many rows each stage has, and the churn rates; `test`: labels [N] of the final stage."""
    train = stages["final"].train
    return {
        "n_fit": len(stages["search"].train),
        "n_valid": len(stages["search"].parts[0]),
        "n_train": len(train),
        "n_test": len(test),
        "n_test_churned": int(test.sum()),
        "base_rate": float(test.mean()) if len(test) else float("nan"),
        "train_rate": float(train.y.mean()) if len(train) else float("nan"),
    }


def judge(
    facts: Mapping[str, Any], truths: Mapping[StageName, Truth], profile: Profile, available: int, opening: str
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Decide what the split allows: flags, the reason why nothing can be scored, and sentences for the user.

    `available`: training rows before the profile's cap; `opening`: the first sentence.
    """
    flags: tuple[str, ...] = ()
    notes = [opening]
    n, churned = facts["n_test"], facts["n_test_churned"]
    if facts["n_train"] < available:
        notes.append(f"profile {profile.name} trains on {facts['n_train']:,} of {available:,} rows; scored rows are never capped")
    for words, y in (("validation", truths["search"].y), ("test", truths["final"].y)):
        if len(y) == 0:
            return flags, f"no eligible user at the {words} cut-off; widen eligibility with --set eligible=ever", tuple(notes)
        if y.min() == y.max():
            return flags, f"all {len(y):,} {words} users {'churned' if y[0] else 'stayed'}: one class only, nothing to rank", tuple(notes)
    if n < FEW_USERS or min(churned, n - churned) < FEW_OF_A_CLASS:
        flags = ("underpowered",)
        notes.append(f"underpowered: {n:,} test users, {churned:,} churned, {n - churned:,} stayed (at least 200, and 30 of each, to rank)")
    return flags, "", tuple(notes)
