"""The churn task where labels come with the data: entities are split, each is seen up to its own cut-off.

60 % of the labelled entities train, 20 % validate, 20 % test; of each class, in the order of a fixed hash of the id, so
that the parts are stratified and depend on nothing but ids and labels. The horizon is the source's. Search trains on the
60 % and scores on validation; the final fit trains on the 60 + 20 % and is scored once on test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from bench.api import Array, ChurnInputs
from bench.data.durations import parse_duration, show_duration
from bench.data.events import Events
from bench.data.ragged import id_hashes
from bench.errors import ConfigError, DataError, ProtocolError
from bench.tasks.base import Split, Stage, StageName, Truth, stage_name
from bench.tasks.churn.history import DAY, History, rows_at
from bench.tasks.churn.rows import Labelled, among_rows, day, ids_of, joined, make_split, ranking_terms, sizes, training
from bench.tasks.profiles import Profile
from bench.tasks.validations import validations_wanted

FOLDS = 4
"""The labelled entities that are not tested are as many quarters, each a validation of a model fitted on the other three."""
PARTS = ("fit", "valid", "test")
SHARES = (0.6, 0.2)
"""Of the entities of each class, to fit and to validate on; the others test."""
FIXED = ("horizon", "eligible", "cutoffs", "split")
"""Options of the derived protocol that given labels have settled."""


def split(events: Events, history: History, options: Mapping[str, str], profile: Profile, seed: int) -> Split:
    """Split the labelled entities; `seed` only chooses which training rows a cap keeps."""
    horizon = _horizon(events, options)
    users, y, cutoff = _labels(events)
    part = parts_of(ids_of(events)[users], y)
    fit, valid, test = (part == i for i in range(len(PARTS)))
    if not (fit.any() and valid.any() and test.any()):
        raise ProtocolError(f"{events.name}: {len(y)} labelled users cannot be split 60/20/20; give the labels of at least 5")
    kinds = _kinds(events, history, users[fit], cutoff[fit])
    rows = Labelled(_inputs(history, users, cutoff, horizon, profile.history, kinds), y, users)
    folds = folds_of(ids_of(events)[users], y, part)
    wanted = validations_wanted(options, profile)
    stages: dict[StageName, Stage] = {}
    truths: dict[StageName, Truth] = {}
    for k in range(1, min(wanted, FOLDS) + 1):
        held = folds == k - 1
        if k > 1 and not 0 < y[held].sum() < held.sum():
            continue
        stages[stage_name(k)] = Stage(training([among_rows(rows, (fit | valid) & ~held)], profile.rows, seed), (rows.inputs.take(held),))
        truths[stage_name(k)] = Truth(y[held], rows.inputs.group[held])
    stages["final"] = Stage(training([among_rows(rows, fit | valid)], profile.rows, seed), (rows.inputs.take(test),))
    truths["final"] = Truth(y[test], rows.inputs.group[test])
    facts = _facts(horizon, kinds, cutoff, stages, {name: y[part == i] for i, name in enumerate(PARTS)})
    opening = (
        f"labels given with the data, horizon {show_duration(horizon)}; {int((fit | valid).sum()):,} users train, {len(y[test]):,} test"
    )
    judged = ranking_terms(facts, truths, profile, int((fit | valid).sum()), opening)
    tested = part == len(SHARES)
    members = {"user": ids_of(events)[users[tested]].tolist(), "cutoff": [day(int(t)) for t in cutoff[tested]]}
    return make_split(_task_id(events, horizon, len(stages) - 1, profile), stages, truths, facts, judged, members)


def folds_of(ids: Array, y: Array, part: Array) -> Array:
    """Assign each entity that is not tested its fold, int8 [N], -1 for the tested: 0 is the validation part, the others share the rest.

    `part`: of `parts_of`. Each fold is of about the validation part's size, stratified, and validates once.
    """
    fold = np.where(part == 1, 0, -1).astype(np.int8)
    order = np.lexsort((ids, id_hashes(ids)))
    for label in (0, 1):
        rest = order[(y[order] == label) & (part[order] == 0)]
        fold[rest] = 1 + np.arange(len(rest)) * (FOLDS - 1) // max(len(rest), 1)
    return fold


def parts_of(ids: Array, y: Array) -> Array:
    """Assign each entity its part, int8 [N] (an index into `PARTS`): 60/20/20 of each class by the hash of the id.

    `ids`: str [N], all different; `y`: int8 [N]. Neither their order nor the log beside them matters.
    """
    order = np.lexsort((ids, id_hashes(ids)))
    part = np.empty(len(ids), np.int8)
    for label in (0, 1):
        of_class = order[y[order] == label]
        borders = np.round(np.cumsum(SHARES) * len(of_class))
        part[of_class] = np.searchsorted(borders, np.arange(len(of_class)), side="right")
    return part


def _horizon(events: Events, options: Mapping[str, str]) -> int:
    """Read the source's horizon, microseconds; refuse options that given labels leave no room for."""
    for key in FIXED:
        if key in options:
            raise ConfigError(
                f"{key}={options[key]!r} cannot be set for {events.name}: its churn labels come with the data (horizon "
                f"{events.horizon}, each user's own cut-off, users split 60/20/20); leave out --set {key}, or run it alone"
            )
    if not events.horizon:
        raise DataError(f"{events.name}: labels came without their horizon; the adapter must pass horizon='10d', say, to Events.build")
    return parse_duration(events.horizon, name="horizon")


def _labels(events: Events) -> tuple[Array, Array, Array]:
    """Return the labelled entities in a fixed order, by (cut-off, user): users, labels int8, cut-offs in microseconds, [N] each."""
    assert events.labels is not None
    table = events.labels.sort("cutoff", "user")
    users = table["user"].to_physical().to_numpy().astype(np.int64)
    return users, table["y"].to_numpy(), table["cutoff"].to_physical().to_numpy()


def _kinds(events: Events, history: History, users: Array, cutoff: Array) -> tuple[str, ...]:
    """List the kinds that the fitting users have shown by their cut-offs; index 0 stands for all others."""
    until = np.full(len(history.group), np.iinfo(np.int64).min)
    until[users] = cutoff
    owner = events.frame["user"].to_physical().to_numpy()
    seen = events.frame["kind"].filter(pl.Series(events.frame["time"].to_physical().to_numpy() <= until[owner]))
    return ("?", *sorted(seen.unique().cast(pl.String)))


def _inputs(history: History, users: Array, cutoff: Array, horizon: int, longest: int | None, kinds: tuple[str, ...]) -> ChurnInputs:
    """Build the inputs of all rows, sorted by cut-off as `users` and `cutoff` [N] are; one pass for each distinct cut-off."""
    parts = [rows_at(history, users[cutoff == t], int(t), horizon, longest, kinds) for t in np.unique(cutoff)]
    return ChurnInputs(**joined(parts))


def _task_id(events: Events, horizon: int, validations: int, profile: Profile) -> str:
    kinds = "+".join(events.activity)
    return f"churn/v2/h={show_duration(horizon)}/labels=given/split=entity-60-20-20/valid={validations}/activity={kinds}/{profile.caps()}"


def _facts(
    horizon: int, kinds: tuple[str, ...], cutoff: Array, stages: Mapping[StageName, Stage], labels: Mapping[str, Array]
) -> dict[str, Any]:
    """Report what the report tells; parts stand where the derived protocol has cut-offs."""
    return {
        "horizon_days": horizon / DAY,
        "fit_cutoffs": ["fit"],
        "valid_cutoff": "valid",
        "valid_cutoffs": {name: "valid" if name == "search" else name.replace("search", "fold") for name in stages if name != "final"},
        "test_cutoff": "test",
        "eligible": "given",
        "kinds": list(kinds),
        "given_cutoffs": [day(int(t)) for t in np.unique(cutoff)],
        "churn_by_cutoff": {name: float(y.mean()) for name, y in labels.items()},
        **sizes(stages, labels["test"]),
    }
