"""New data in the form that a fitted model is asked about: the same task, the same choices, no truth.

What a run chose (horizon, eligibility, level, season, ...) stands in its `run.json`; new data of another kind is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.errors import DataError
from bench.tasks.base import RankingRule, Split, Stage


def inference_split(run: Mapping[str, Any], inputs: Any, truth: Any) -> Split:
    """Make a split without truth: what a task needs to bring answers about new data into their final form."""
    context = {key: tuple(v) if isinstance(v, list) else v for key, v in run["context"].items()}
    return Split(run["task_id"], {"final": Stage((), (inputs,))}, {"final": truth}, run["facts"], ranking=RankingRule(""), context=context)


def refuse_step(name: str, given: str, wanted: str) -> None:
    """Raise `DataError` where new data has a step that the run had not."""
    if not set(given.split("+")) <= set(wanted.split("+")):  # a run may have had series of several steps
        raise DataError(f"{name}: its step is {given or 'without time'}, the run's is {wanted or 'without time'}; give data of that step")
