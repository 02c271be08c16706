"""The churn protocol where labels are derived: cut-offs step back from the log's end by the horizon.

Rule (RelBench's): at cut-off t a user is eligible with at least one activity in (t - H, t] (`eligible=ever`: any
before), and churned with none in (t, t + H].
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.api import Array
from bench.data.durations import parse_duration, show_duration
from bench.data.events import Events
from bench.errors import ConfigError, ProtocolError
from bench.tasks.base import Split, Stage, StageName, Truth, is_unseen, stage_name
from bench.tasks.churn.history import DAY, History, aggregates_at, rows_at
from bench.tasks.churn.rows import Labelled, among_users, day, eligible, ids_of, make_split, ranking_terms, seen_by, sizes, training
from bench.tasks.churn.unseen import unseen_stages
from bench.tasks.profiles import Profile
from bench.tasks.validations import fewer_note

HORIZONS = (7 * DAY, 28 * DAY, 91 * DAY)
MANY = 10_000
"""More training cut-offs than any log has room for."""
TESTED_ONLY = 0.2
"""Share of the users that `split=time+user` never trains on."""


@dataclass(frozen=True)
class Protocol:
    """The choices of one churn split; times in microseconds since 1970, UTC."""

    horizon: int
    ever: bool
    by_user: bool
    fit: tuple[int, ...]
    """Training cut-offs of the latest validation, latest first."""
    valid: int
    """The latest validation cut-off."""
    test: int
    between: tuple[int, ...] = ()
    """Cut-offs between the latest of `fit` and `valid`, which the final fit learns from too; none unless dense."""
    earlier: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Earlier validation cut-offs with their training cut-offs, latest first."""
    notes: tuple[str, ...] = ()

    @property
    def validations(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Return every validation cut-off with its training cut-offs, latest first."""
        return ((self.valid, self.fit), *self.earlier)

    @property
    def oldest(self) -> int:
        """Return the first of all training cut-offs."""
        return min(t for _, fit in self.validations for t in fit)

    def task_id(self, activity: tuple[str, ...], caps: str) -> str:
        """Format every choice that makes two scores comparable."""
        kinds = "+".join(activity)
        many = f"{len(self.fit)}{'-dense' if self.between else ''}"
        return (
            f"churn/v2/h={show_duration(self.horizon)}/elig={'ever' if self.ever else 'h'}"
            f"/split={'time+user' if self.by_user else 'time'}/cutoffs={many}/valid={len(self.validations)}"
            f"/activity={kinds}/{caps}"
        )


def choose(history: History, options: Mapping[str, str], name: str, validations: int = 1) -> Protocol:
    """Fix horizon and cut-offs from the options and the log; raise `ProtocolError` with the dates."""
    wanted, dense = _cutoffs_wanted(options)
    eligible, split = options.get("eligible", "h"), options.get("split", "time")
    if eligible not in {"h", "ever"}:
        raise ConfigError(f"eligible={eligible!r} is unknown; use h or ever")
    if split not in {"time", "time+user"}:
        raise ConfigError(f"split={split!r} is unknown; use time or time+user")
    given = options.get("horizon")
    horizon = default_horizon(history, min(wanted, 2)) if given is None else parse_duration(given, name="horizon")
    test, valid, fit = cutoffs(history, horizon, wanted, dense=dense)
    if not fit:
        raise ProtocolError(_too_short(history, horizon, name))
    earlier = _earlier(history, valid, horizon, wanted, validations - 1, dense=dense)
    notes = fewer_note(1 + len(earlier), validations, "cut-off", f"an earlier one needs {show_duration(3 * horizon)} of log before it")
    between = tuple(valid - k * _step(horizon, dense=True) for k in range(1, 4)) if dense else ()
    return Protocol(horizon, eligible == "ever", split == "time+user", fit, valid, test, between, earlier, notes)


def _step(horizon: int, *, dense: bool) -> int:
    """Return the distance of training cut-offs: the horizon, or a quarter of it, in whole days where that is a day or more."""
    return (horizon // 4 // DAY * DAY or horizon // 4) if dense else horizon


def _earlier(history: History, valid: int, horizon: int, wanted: int, most: int, *, dense: bool) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Step back from the latest validation by the horizon, as long as a training cut-off with H of history is left."""
    steps = ((t := valid - k * horizon, _training_cutoffs(history, t, horizon, wanted, dense=dense)) for k in range(1, most + 1))
    return tuple((t, fit) for t, fit in steps if fit)


def cutoffs(history: History, horizon: int, wanted: int, *, dense: bool = False) -> tuple[int, int, tuple[int, ...]]:
    """Step back from the log's end by the horizon: (test, validation, training cut-offs with H of history)."""
    test = (history.last - horizon) // DAY * DAY
    valid = test - horizon
    return test, valid, _training_cutoffs(history, valid, horizon, wanted, dense=dense)


def _training_cutoffs(history: History, valid: int, horizon: int, wanted: int, *, dense: bool) -> tuple[int, ...]:
    """List the training cut-offs of a validation, latest first: their labels end before it, and H of history lies before each."""
    latest, first = valid - horizon, history.first // DAY * DAY + horizon
    return tuple(range(latest, first - 1, -_step(horizon, dense=dense)))[:wanted]


def default_horizon(history: History, needed: int) -> int:
    """Choose the smallest of 7, 28, 91 days >= the 90th percentile of gaps, stepped down until enough cut-offs exist."""
    typical = np.quantile(history.gaps, 0.9) * DAY if len(history.gaps) else 0
    at = next((i for i, h in enumerate(HORIZONS) if h >= typical), len(HORIZONS) - 1)
    while at > 0 and len(cutoffs(history, HORIZONS[at], needed)[2]) < needed:
        at -= 1
    return HORIZONS[at]


def label(history: History, cutoff: int, protocol: Protocol, longest: int | None, kinds: tuple[str, ...]) -> Labelled:
    """Find who is eligible at a cut-off and who churned after it.

    The inputs come from `rows_at`, which reads nothing after the cut-off; the labels come from (t, t + H] alone.
    """
    until = history.active.events_until(cutoff)
    users = eligible(history, cutoff, protocol.horizon, ever=protocol.ever)
    after = history.active.events_until(cutoff + protocol.horizon)
    y = (after == until)[users].astype(np.int8)
    seen = seen_by(history, cutoff)
    everyone = aggregates_at(history, seen, cutoff, protocol.horizon)
    return Labelled(rows_at(history, users, cutoff, protocol.horizon, longest, kinds), y, users, seen, everyone)


def build(events: Events, history: History, protocol: Protocol, profile: Profile, seed: int) -> Split:
    """Make both stages: search (fit -> validation) and final (fit + validation -> test)."""
    kinds = known_kinds(events, protocol.oldest)
    needed = {t for valid, fit in protocol.validations for t in (valid, *fit)} | {protocol.test, *protocol.between}
    every = {t: label(history, t, protocol, profile.history, kinds) for t in sorted(needed)}
    tested = _tested_only(events) if protocol.by_user else None
    at = every if tested is None else {t: among_users(part, tested if t == protocol.test else ~tested) for t, part in every.items()}
    test = at[protocol.test]
    last = [at[t] for t in (*protocol.fit, *protocol.between, protocol.valid)]
    stages: dict[StageName, Stage] = {}
    truths: dict[StageName, Truth] = {}
    for k, (cutoff, past) in enumerate(protocol.validations, 1):
        if k > 1 and not _both_classes(at[cutoff].y):
            continue  # an earlier cut-off at which nobody, or everybody, churned scores nothing
        stages[stage_name(k)] = Stage(training([at[t] for t in past], profile.rows, seed), (at[cutoff].inputs,))
        truths[stage_name(k)] = Truth(at[cutoff].y, at[cutoff].inputs.group)
    asked = [at[cutoff] for cutoff in sorted(t for t, _ in protocol.validations)]
    for name, (stage, truth) in unseen_stages(ids_of(events), last, asked, profile.rows, seed).items():
        stages[name], truths[name] = stage, truth
    stages["final"] = Stage(training(last, profile.rows, seed), (test.inputs,))
    truths["final"] = Truth(test.y, test.inputs.group)
    facts = {**_facts(protocol, stages, every, test), "eligible": "ever" if protocol.ever else "h", "kinds": list(kinds)}
    opening = f"horizon {facts['horizon_days']:g} days; cut-offs {', '.join(facts['churn_by_cutoff'])}"
    flags, reason, notes = ranking_terms(facts, truths, profile, sum(len(p.y) for p in last), opening)
    judged = flags, reason, (*notes, *protocol.notes, *_nobody(every))
    members = {"user": ids_of(events)[test.users].tolist(), "cutoff": [day(protocol.test)] * len(test.users)}
    # a cut-off's training labels are known at the next one, which is the moment that is asked about
    moments = {**{stage_name(k): t for k, (t, _) in enumerate(protocol.validations, 1)}, "final": protocol.test}
    made = make_split(protocol.task_id(events.activity, profile.caps()), stages, truths, facts, judged, members)
    # who learns from all cut-offs knows all labels by the test's, and is asked about the validations'
    both = {name: (protocol.test, protocol.valid) for name in stages if is_unseen(name)}
    return replace(made, known_until={**{name: (t, t) for name, t in moments.items() if name in stages}, **both})


def _nobody(at: Mapping[int, Labelled]) -> tuple[str, ...]:
    """Name the cut-offs at which no user is eligible."""
    idle = ", ".join(day(t) for t, part in sorted(at.items()) if not len(part.y))
    return (f"no eligible user at {idle}",) if idle else ()


def _both_classes(y: Array) -> bool:
    return bool(len(y)) and bool(y.min() != y.max())


def known_kinds(events: Events, cutoff: int) -> tuple[str, ...]:
    """List the kinds seen by the first training cut-off; index 0 stands for all others, now and later."""
    import polars as pl

    seen = events.frame.filter(pl.col("time").to_physical() <= cutoff)["kind"].unique().cast(pl.String)
    return ("?", *sorted(seen))


def _tested_only(events: Events) -> Array:
    """Choose 20 % of the users by a hash of their id, bool [U]: the same users whatever else the log holds."""
    ids = ids_of(events)
    numbers = (int.from_bytes(hashlib.sha256(i.encode()).digest()[:4], "big") for i in ids)
    return np.fromiter(numbers, np.int64, len(ids)) < TESTED_ONLY * 2**32


def _cutoffs_wanted(options: Mapping[str, str]) -> tuple[int, bool]:
    """Read how many training cut-offs are wanted at most, and whether they lie a quarter of a horizon apart."""
    text = options.get("cutoffs", "3")
    if text in {"all", "dense"}:
        return MANY, text == "dense"
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ConfigError(f"cutoffs={text!r} is no number of training cut-offs; use 1 or more, all, or dense (one every quarter horizon)")
    return int(text), False


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
        "valid_cutoffs": {stage_name(k): day(t) for k, (t, _) in enumerate(protocol.validations, 1) if stage_name(k) in stages},
        "test_cutoff": day(protocol.test),
        "churn_by_cutoff": churned,
        **sizes(stages, test.y),
        "last_rate": churned[day(protocol.valid)],
    }
