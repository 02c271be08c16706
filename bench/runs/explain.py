"""Reasons beside predictions of churn: exact shares where a model can tell them, else what taking a part of the past away does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bench.api import FEATURES, STATIC, ChurnInputs
from bench.data.events import Events
from bench.data.ragged import Array
from bench.data.series import Series
from bench.errors import ConfigError
from bench.tasks.base import Arrays, InferenceInputs, Stage
from bench.tasks.churn import explain

Ask = Callable[[InferenceInputs], Arrays]
"""Answers about the rows of some inputs."""


def with_reasons(
    data: Events | Series, asked: InferenceInputs, answer: Arrays, ask: Ask, shares: Array | None, longest: int
) -> InferenceInputs:
    """Add a column `reasons`, the three strongest of each row in words; raise `ConfigError` for another task.

    `shares`: exact shares of the log-odds [N, S + F + 1], or None; then the models are asked again without a part of the past.
    """
    if not isinstance(data, Events) or not isinstance(asked.inputs, ChurnInputs):
        raise ConfigError("--explain gives reasons for churn; leave it out for other tasks")
    if shares is not None and shares.shape == (len(asked.inputs), len(STATIC) + len(FEATURES) + 1) and np.isfinite(shares).all():
        return _add_reasons(asked, explain.by_columns(shares[:, :-1], asked.inputs))
    rows = explain.ExplainedUsers.of(data, asked.columns["user"], asked.inputs, asked.split.context["horizon"], longest)
    answers = [(part, ask(_instead(asked, part.inputs))["prediction"]) for part in explain.parts(rows)]
    return _add_reasons(asked, explain.by_parts(answer["prediction"], answers))


def _instead(asked: InferenceInputs, inputs: ChurnInputs) -> InferenceInputs:
    """Ask about other inputs for the same rows."""
    return replace(asked, inputs=inputs, split=replace(asked.split, stages={"final": Stage((), (inputs,))}))


def _add_reasons(asked: InferenceInputs, reasons: list[str]) -> InferenceInputs:
    return replace(asked, columns={**asked.columns, "reasons": reasons})
