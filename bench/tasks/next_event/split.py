"""From a log to both stages of the next-event task: what is learnt from, what is asked, and what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.data.events import Events
from bench.errors import ConfigError
from bench.tasks.base import RankingRule, Split, Stage, StageName
from bench.tasks.next_event.ceiling import ceiling
from bench.tasks.next_event.log import TARGETS, Log, prepare
from bench.tasks.next_event.protocol import DAY, Catalogue, Protocol, catalogue, choose, day
from bench.tasks.next_event.rows import StageRows, stage_rows, training
from bench.tasks.profiles import Profile

FEW_USERS = 50
"""Fewest asked users for a board to rank."""
FLOORS = ("popular", "recent-popular", "personal-top", "last-item", "markov")
"""What needs no training beyond counting: a board says which of them is the best, and who beats it."""
RANKINGS = {
    "": RankingRule("ndcg_10", True, "popular", beside="recent-popular", floors=FLOORS, second="recall_10"),
    "kind": RankingRule("accuracy", True, "popular", beside="markov", floors=FLOORS, second="macro_f1"),
}
"""By level: what is ranked, items or kinds."""


def target_of(events: Events, options: Mapping[str, str]) -> str:
    """Return what is ranked: what the user says, or items where the log has two of them, else kinds."""
    if "target" in options:
        if options["target"] not in TARGETS:
            raise ConfigError(f"target={options['target']!r} is unknown; give {' or '.join(TARGETS)}")
        return options["target"]
    return "item" if events.frame["item"].drop_nulls().n_unique() > 1 else "kind"


def split(events: Events, options: Mapping[str, str], profile: Profile) -> Split:
    """Cut a log into search (history before validation) and final (history before the test)."""
    target = target_of(events, options)
    log = prepare(events, target)
    protocol = choose(log, options, target, events.name, once=events.once)
    found = catalogue(log, protocol, events.name)
    rows: dict[StageName, StageRows] = {
        "search": stage_rows(log, (protocol.valid, protocol.test), found, protocol),
        "final": stage_rows(log, (protocol.test, protocol.end), found, protocol),
    }
    cutoffs: dict[StageName, int] = {"search": protocol.valid, "final": protocol.test}
    stages: dict[StageName, Stage] = {
        name: Stage(training(log, cutoff, found, protocol), (rows[name].inputs,)) for name, cutoff in cutoffs.items()
    }
    facts = _facts(log, protocol, found, rows)
    test = rows["final"]
    users = np.unique(test.inputs.group)
    empty = [name for name, part in rows.items() if not len(part.inputs)]
    words: dict[StageName, str] = {"search": "the validation", "final": "the test"}
    reason = f"{words[empty[0]]} asks about no item of the catalogue; give another horizon or --set support=1" if empty else ""
    flags = ("underpowered",) if len(users) < FEW_USERS else ()
    members = _members(events, log, test)
    return Split(
        protocol.task_id(profile.caps()),
        stages,
        {name: part.targets for name, part in rows.items()},
        facts,
        _notes(log, protocol, found, rows),
        flags,
        reason,
        RANKINGS["" if target == "item" else "kind"],
        {"level": target, "n_test": len(users), "horizon_days": facts["horizon_days"]},
        {"horizon": facts["horizon_days"], "loss": "softmax"},
        members,
        ceiling=() if reason else ceiling(events, protocol, found, test, members["user"]),
        known_until={name: (cutoff - 1, None) for name, cutoff in cutoffs.items()},
    )


def _facts(log: Log, protocol: Protocol, found: Catalogue, rows: Mapping[StageName, StageRows]) -> dict[str, Any]:
    test = rows["final"]
    return {
        "target": protocol.target,
        "once": protocol.once,
        "horizon_days": (protocol.end - protocol.test) / DAY,
        "valid_cutoff": day(protocol.valid),
        "test_cutoff": day(protocol.test),
        "items": len(found),
        "n_valid": len(rows["search"].inputs),
        "n_test": len(test.inputs),
        "n_test_users": len(np.unique(test.inputs.group)),
        "n_targets": len(test.targets.item),
        "repeat_share": float(test.targets.repeat.mean()) if len(test.targets.item) else 0.0,
        "outside": test.outside,
        "had": test.had,
        "tied": log.tied,
        "merged": log.merged,
        "catalogue": list(found.names),
        "kinds": list(found.kinds),
    }


def _notes(log: Log, protocol: Protocol, found: Catalogue, rows: Mapping[StageName, StageRows]) -> tuple[str, ...]:
    test = rows["final"]
    came = len(test.targets.item) + test.outside + test.had
    opening = (
        f"horizon {protocol.horizon}: validation from {day(protocol.valid)}, test from {day(protocol.test)}; "
        f"{len(test.inputs):,} moments of {len(np.unique(test.inputs.group)):,} users, {len(found):,} {protocol.target}s ranked"
    )
    notes = [opening]
    if test.outside:
        notes.append(
            f"{test.outside / came:.1%} of the test's events are of {protocol.target}s with too little history: nobody is asked for them"
        )
    if test.had:
        notes.append(f"{test.had / came:.1%} of the test's events repeat what the user had and are left out (repeats=counted keeps them)")
    if log.tied:
        notes.append(
            f"{log.tied / len(log.user):.1%} of the events share their moment with another: they are targets together, in no order"
        )
    return tuple(notes)


def _members(events: Events, log: Log, test: StageRows) -> dict[str, Any]:
    """Name the user and the moment of each row of the test."""
    ids = np.array(events.frame["user"].dtype.categories.to_list(), dtype=np.str_)  # type: ignore[attr-defined]
    user = np.argsort(log.group)[test.inputs.group]
    return {"user": ids[user].tolist(), "time": np.datetime_as_string(test.moment.astype("datetime64[us]"), unit="s").tolist()}
