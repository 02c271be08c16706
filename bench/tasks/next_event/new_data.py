"""What new users do next: the rows that a fitted model is asked about, at the end of a new log or at a given day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.series import Series
from bench.errors import ConfigError, DataError
from bench.tasks.base import Arrays, InferenceInputs
from bench.tasks.new_data import inference_split
from bench.tasks.next_event.log import Log, prepare
from bench.tasks.next_event.protocol import Catalogue, Protocol, day
from bench.tasks.next_event.rows import training

SHOWN = 10
"""Places that a prediction lists for each user."""


def inference_inputs(data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str]) -> InferenceInputs:
    """Ask about all users of a log after its end, or at `cutoff=2011-05-01`; items that the run does not know stay unknown."""
    if not isinstance(data, Events):
        raise DataError(f"{data.name} holds series; the run's models were fitted on an event log")
    facts = run["facts"]
    log = prepare(data, facts["target"])
    found = _catalogue(log, facts)
    if not (found.number < len(found)).any():
        raise DataError(
            f"{data.name}: none of its {facts['target']}s is among the {len(found):,} that the run ranks; give data of that kind"
        )
    cutoff = _moment(options["cutoff"]) if "cutoff" in options else int(log.time.max()) + 1
    inputs = training(log, cutoff, found, Protocol(0, 0, 0, facts["target"], once=facts["once"]))
    if not len(inputs):
        raise DataError(f"{data.name}: no event is before {day(cutoff)}; give a later --set cutoff=")
    ids = np.array(data.frame["user"].dtype.categories.to_list(), dtype=np.str_)  # type: ignore[attr-defined]
    users = ids[np.argsort(log.group)[inputs.group]].tolist()
    about = f"what {len(users):,} users do from {day(cutoff)} on"
    return InferenceInputs(inputs, {"user": users}, inference_split(run, inputs, None), about)


def _catalogue(log: Log, facts: Mapping[str, Any]) -> Catalogue:
    """Build the run's catalogue with the numbers of the new log's items and kinds."""
    names, kinds = facts["catalogue"], facts["kinds"]
    place, place_of_kind = {name: at for at, name in enumerate(names)}, {name: at for at, name in enumerate(kinds)}
    number = np.array([place.get(name, len(names)) for name in log.names], np.int32)
    kind = np.array([place_of_kind.get(name, 0) for name in log.kinds], np.int16)
    return Catalogue(np.zeros(len(names), np.int32), number, tuple(names), kind, tuple(kinds))


def answer_frame(asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
    """Return the first places of each user: `user, rank, item, score`."""
    items, scores = arrays["items"][:, :SHOWN].astype(np.int64), arrays["scores"][:, :SHOWN]
    row, place = np.nonzero(items >= 0)
    names = np.array(asked.split.facts["catalogue"], dtype=np.str_)
    users = np.array(asked.columns["user"], dtype=np.str_)
    return pl.DataFrame({
        "user": users[row],
        "rank": place + 1,
        asked.split.facts["target"]: names[items[row, place]],
        "score": scores[row, place],
    })  # fmt: skip


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"cutoff={text!r} is no day; write it as 2011-05-01") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
