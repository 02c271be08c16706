"""What ranks a board and steers its searches: the task's own choice, or another of its proper metrics that the user prefers.

A metric may rank if what is best by it is what a user would call best: rules that an honest forecast minimises (log-loss, Brier
score, quantile losses) and orders (ROC AUC, nDCG), never what can be had without knowing anything (calibration error, coverage).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.errors import ConfigError, suggest
from bench.metrics.kinds import Metric
from bench.tasks.base import RankingRule, Split

OPTION = "metric"
WORST = 1e9
"""What a search is told of a failed trial where lower scores are better; 0 where higher ones are."""
SPELT = re.compile(r"/rank=(\w+)")
"""How a task id names what ranks, where it is not the task's own choice."""


def help_of(proper: Mapping[str, Sequence[str]]) -> str:
    """Return the line of help of the option."""
    names = ", ".join(dict.fromkeys(name for level in proper.values() for name in level))
    return f"what ranks and steers the search: {names} (default: the first that the data allows)"


def names_of(proper: Sequence[str], metrics: Mapping[str, Metric]) -> dict[str, str]:
    """Return the words by which metrics may be asked for, their columns and their labels in small letters -> their columns."""
    return {word: name for name in proper for word in (name, metrics[name].label.lower())}


def refuse_unknown(task: str, given: str, proper: Mapping[str, Sequence[str]], metrics: Mapping[str, Metric]) -> None:
    """Raise `ConfigError` for what ranks no board of a task: before any data is read, which may allow fewer."""
    every = list(dict.fromkeys(name for level in proper.values() for name in level))
    if given.lower() not in names_of(every, metrics):
        raise ConfigError(_refused(given, every, metrics, f"no board of {task}"))


def _refused(given: str, proper: Sequence[str], metrics: Mapping[str, Metric], what: str) -> str:
    shown = given if given.isprintable() else repr(given)
    label = metrics[given].label if given in metrics else shown
    return f"--metric {shown}: {label} ranks {what}; {suggest(given, list(proper))}"


def by(rule: RankingRule, metric: str, metrics: Mapping[str, Metric]) -> RankingRule:
    """Return a rule with another metric; what usually ranks stands beside it."""
    higher = metrics[metric].higher_is_better
    return replace(rule, metric=metric, higher=higher, penalty=0.0 if higher else WORST, second=rule.metric)


def as_wanted(split: Split, options: Mapping[str, str], proper: Sequence[str], metrics: Mapping[str, Metric]) -> Split:
    """Let the metric rank that the options name, and say so in the task id; raise `ConfigError` for one that may not rank here."""
    given = options.get(OPTION)
    if given is None:
        return split
    wanted = names_of(proper, metrics).get(given.lower())
    if wanted is None:
        raise ConfigError(_refused(given, proper, metrics, "nothing here"))
    if wanted == split.ranking.metric:
        return split
    ranking = by(split.ranking, wanted, metrics)
    columns = {**split.columns, **({"objective": wanted} if "objective" in split.columns else {})}
    return replace(split, task_id=f"{SPELT.sub('', split.task_id)}/rank={wanted}", ranking=ranking, columns=columns)
