"""Words and table parts that several pages share: statuses, tie groups, marks, and the command that repeats a run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import clean
from bench.board.schema import Row
from bench.execute.mean_of import counted
from bench.metrics.kinds import Metric
from bench.report.html import Html, joined, name_of, tag

FLAG_WORDS = {
    "underpowered": "too few cases to rank",
    "few-labels": "few labelled users",
    "trivial": "a floor scores above 0.8: the cell is too easy",
    "contaminated": "the model saw this data before",
    "fallback": "a simpler method served some series",
    "mean-from-quantiles": "the mean was integrated from the quantiles",
    "quantiles-crossed": "quantiles crossed and were sorted",
    "clipped": "negative forecasts of counts were set to 0",
    "charged": "failed: stands in means with the worse of reference and worst score",
    "cut-short": "the fit was stopped at its time limit",
    "cross-fitted": "each half of the entities is scored by what the labels of the other half chose",
    "kept-default": "the search found nothing better than the author's default beyond doubt, so the default stands",
    "averaged": "the mean of the author's default and the best configurations of the search",
    "few-trials": "fewer than eight configurations were tried: the search has hardly begun",
    "calibrated": "the probabilities were corrected by what the validations say",
    "unconfined": "the model's code is not the project's own, and ran where it could see more than its inputs",
    "seed-matters": "the model calls itself deterministic, but another seed gave other predictions: its one fit shows no spread",
}
NOT_REPEATED = (
    "task", "datasets", "models", "options", "plugins", "plugins_dirs", "data", "params", "space", "name", "overwrite", "portfolio",
    "prune",
)  # fmt: skip
DEFAULTS = {("device", "auto"), ("sandbox", "auto"), ("seed", 0), ("out", ""), ("sampler", "tpe"), ("executor", "local")}


BEST = {"bias": "best is 0", "coverage_60": "best is .6", "coverage_80": "best is .8"}
"""Metrics whose best value is neither the highest nor the lowest."""


def metric_head(metric: Metric) -> str:
    """Name a metric with its direction, for the head of a column."""
    return f"test {metric.label} ({BEST.get(metric.name, 'higher is better' if metric.higher_is_better else 'lower is better')})"


def status_word(row: Row) -> str:
    """Describe how a row ended: `ok`, `failed: oom`, `skipped`."""
    return {"ok": "ok", "failed": "failed: error", "skipped": "skipped"}.get(row["status"], f"failed: {row['status']}")


def simulated_mark(rows: Sequence[Row]) -> Html | None:
    """Mark simulated data, in a word."""
    return tag("span", "simulated", class_="mark") if any(row.get("simulated") for row in rows) else None


def flags_html(flags: Sequence[str]) -> Html:
    """Write flags with their meaning, as a list; nothing where there are none."""
    return joined(tag("li", tag("strong", flag), f": {FLAG_WORDS.get(flag, '')}") for flag in flags)


def failures(rows: Sequence[Row]) -> list[Row]:
    """Choose one row for each failure of a cell: each model, status and reason once."""
    found = {(r["task_id"], r["dataset"], r["model"], r["status"], r.get("reason")): r for r in rows if r["status"] != "ok"}
    return list(found.values())


def command(config: Mapping[str, Any], model: str = "") -> str:
    """Write the command that repeats a run of this configuration, or one model of it, as a POSIX shell reads it."""
    words = ["bench", "run", "--task", str(config.get("task", ""))]
    for given in config.get("datasets", ()):
        words += ["--dataset", given]
    for name in [model] if model else config.get("models", ()):
        words += ["--model", name]
    for key, value in config.get("options", {}).items():
        words += ["--set", f"{key}={value}"]
    for option, key in (("--param", "params"), ("--space", "space")):
        for name, value in config.get(key, {}).items():
            words += [option, f"{name}={value}"]
    for option, key in (("--plugin", "plugins"), ("--plugins-dir", "plugins_dirs")):
        for path in config.get(key, ()):
            words += [option, path]
    words += ["--no-portfolio"] if config.get("portfolio") is False else []
    words += ["--prune"] if config.get("prune") else []
    for key, value in config.items():
        if key not in NOT_REPEATED and value is not None and (key, value) not in DEFAULTS:
            words += [f"--{key.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    return " ".join(shlex.quote(word) for word in words)


def command_html(text: str, what: str) -> Html:
    """Write a command with a button that copies it."""
    copy = tag("button", "Copy", type="button", class_="copy needs-script")
    return tag("div", tag("p", what), tag("div", tag("code", clean(text)), copy, class_="command"))


def params_table(text: str | None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Lay out parameters, JSON, as the head and rows of a table: a column for each configuration that the fit is the mean of."""
    found = counted(json.loads(text or "{}"))
    heads = [f"configuration {n}{'' if times == 1 else f', counts {times} times'}" for n, (_, times) in enumerate(found, 1)]
    head = ("parameter", *heads) if len(found) > 1 else ("parameter", "value")
    return head, [(key, *(_value(one.get(key)) for one, _ in found)) for key in sorted({key for one, _ in found for key in one})]


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def listing(pairs: Sequence[tuple[str, str | Html]]) -> Html:
    """Write pairs of a term and what it is."""
    return tag("dl", ((tag("dt", clean(term)), tag("dd", text if isinstance(text, Html) else name_of(text))) for term, text in pairs))
