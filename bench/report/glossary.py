"""The words of the tables: what each means, which head leads to which entry, and the page that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from bench.board.metrics import metrics_of
from bench.board.numbers import clean
from bench.report.html import Html, name_of, tag

FILE = "glossary.html"


@dataclass(frozen=True)
class Term:
    """One entry: its anchor, its title, what it means, and the beginnings or parts of heads that lead to it."""

    key: str
    title: str
    words: str
    heads: tuple[str, ...]


TERMS = (
    Term(
        "verified",
        "Scored again, fitted again, claimed",
        "What a recorded verification found: the stored prediction scored anew against the data, the model fitted anew, or no more than "
        "that the files are those that were published.",
        ("scored again", "fitted again", "claimed", "signed by"),
    ),
    Term(
        "rank",
        "Rank",
        "The place by the test score of the metric that ranks; 1 leads. Underpowered boards have no ranks.",
        ("rank",),
    ),
    Term(
        "mean-rank",
        "Mean rank, critical difference",
        "The mean of a model's ranks over data sets. Two means closer than the critical difference (Nemenyi, 5 %) are not told apart.",
        (
            "mean rank",
            "critical difference",
            "bar",
        ),
    ),
    Term(
        "tied",
        "Statistically tied, tie group",
        "The 95 % interval of the paired difference to the leader holds 0: the data do not tell the two apart. The leader and "
        "all that are tied with it are the tie group.",
        ("tied",),
    ),
    Term(
        "behind",
        "Behind the leader",
        "The leader's test score less the model's, on the same users or series, turned so that more is worse; 0 is level.",
        (
            "behind",
            "advantage",
        ),
    ),
    Term(
        "model",
        "Model",
        "A plugin that is trained and asked; baselines are models too. 'ensemble' and 'mean-of-3' are means of several.",
        (
            "model",
            "first model",
            "second model",
            "plugin",
        ),
    ),
    Term(
        "cell",
        "Cell",
        "One model on one board: it has its own search, its own budget and its own page.",
        (
            "cell",
            "what",
        ),
    ),
    Term(
        "skill",
        "Skill, reference",
        "The difference of the test score to the reference model's, the baseline that the board names, turned so that more is "
        "better; 0 is as good as the reference.",
        (
            "skill",
            "mean skill",
            "reference",
        ),
    ),
    Term(
        "interval",
        "95 % interval",
        "The range of 95 % of bootstrap resamples of users or series. Intervals of differences are paired: both models are "
        "scored on the same draws.",
        ("95 %",),
    ),
    Term(
        "test",
        "Test",
        "What comes after the last cut-off. It is predicted once, by the final fits; nothing is tuned on it.",
        ("test",),
    ),
    Term(
        "valid",
        "Validation",
        "The stretch before the test, which steers the search; its scores are never ranked.",
        ("valid",),
    ),
    Term(
        "seconds",
        "Seconds",
        "Worker time for search, fit and predict. A default needs no search; an ensemble is charged its members' searches.",
        (
            "seconds",
            "after ",
        ),
    ),
    Term(
        "tuning",
        "Tuning: default, tuned, label-free",
        "default: the author's parameters. tuned: the best of a search on the validation. label-free: the best of a search that"
        " saw no labels.",
        ("tuning",),
    ),
    Term(
        "trials",
        "Trials, search space",
        "Configurations that the search has tried, drawn from the model's search space: the ranges of its parameters. Trial 0 "
        "is the default.",
        (
            "trial",
            "parameter",
            "value",
            "importance",
            "configuration",
        ),
    ),
    Term(
        "seed",
        "Seed",
        "The number that random draws begin from. Final fits are repeated with several; the median seed stands for the model.",
        (
            "seed",
            "least",
            "greatest",
            "median",
        ),
    ),
    Term(
        "epoch",
        "Epoch, holdout loss",
        "One pass over the training data, and the loss on data held out of it, by which training stops early.",
        (
            "epoch",
            "lowest loss",
            "last loss",
        ),
    ),
    Term(
        "flags",
        "Flags and reason",
        "Marks that a row carries, each spelt out under its table, and why a cell failed.",
        (
            "flags",
            "reason",
        ),
    ),
    Term(
        "status",
        "Status",
        "ok, skipped, or failed with its cause. A failed cell is a row; in means it is charged the worse of the reference's and"
        " the worst score.",
        (
            "status",
            "failed",
            "charged",
        ),
    ),
    Term(
        "memory",
        "Memory",
        "The most resident memory that the fit took, in MB.",
        ("memory",),
    ),
    Term(
        "data-set",
        "Data set",
        "One log or one collection of series; 'simulated' ones are made by a documented random process.",
        ("data set",),
    ),
    Term(
        "won",
        "Won",
        "Data sets where the model leads alone; a win of a pair: the better test score of the two.",
        (
            "won",
            "wins",
        ),
    ),
    Term(
        "cutoff",
        "Cut-off, horizon",
        "The moment up to which a model sees the data; the horizon is the time after it that is asked about.",
        (
            "cut-off",
            "steps ahead",
            "from",
            "time",
            "day",
        ),
    ),
    Term(
        "base-rate",
        "Base rate, lift",
        "The share of churners among the test users; lift is how many times more of them a list holds than one drawn at random.",
        (
            "caught",
            "lift",
            "base rate",
            "churners",
            "precision",
            "predicted",
            "actual",
            "most profit",
            "by contacting",
            "users contacted",
        ),
    ),
    Term(
        "alarm",
        "Alarm, threshold",
        "A score above what 1 % of the training scores exceed; an incident is found where an alarm falls inside it.",
        (
            "kind",
            "strength",
            "decoys",
            "highest score",
            "above threshold",
            "series with",
        ),
    ),
    Term(
        "run",
        "Run",
        "One command's work: its rows, configuration, versions and predictions. Published runs are never changed.",
        (
            "run",
            "task",
            "finished",
            "bench",
            "rows",
            "on the board",
            "when",
            "source",
            "versions",
        ),
    ),
)
"""General entries; those of metrics come from the tasks."""


@cache
def metric_terms(task: str) -> tuple[Term, ...]:
    """Return an entry for each metric of a task."""
    made = []
    for metric in metrics_of(task).values():
        better = "higher" if metric.higher_is_better else "lower"
        made.append(Term(f"metric-{metric.name.replace('_', '-')}", metric.label, f"{metric.help.rstrip('.')}; {better} is better.", ()))
    return tuple(made)


@cache
def term_of(head: str) -> str:
    """Return the anchor of the entry that a column head leads to; empty where no entry fits."""
    words = head.lower().strip()
    fits = [(len(begin), term.key) for term in TERMS for begin in term.heads if words.startswith(begin)]
    return max(fits)[1] if fits else ""


def head_link(head: str) -> Html:
    """Write a column head that leads to its entry."""
    key = term_of(head)
    return tag("a", clean(head), href=f"{FILE}#{key}", class_="term") if key else Html(name_of(head))


def head_mark(head: str) -> Html | None:
    """Write the mark beside the head of a sortable column, which itself sorts; None where no entry fits."""
    key = term_of(head)
    if not key:
        return None
    return tag("a", href=f"{FILE}#{key}", class_="mark-term", aria_label=f"What is {clean(head)}?", data_dt_order="disable")


def glossary_body(tasks: Sequence[str]) -> Html:
    """Write the entries, general ones first, then the metrics of each task."""
    metrics = ((f"Metrics of {task}", metric_terms(task)) for task in tasks)
    seen: set[str] = set()
    parts = []
    for title, terms in (("Words of the tables", TERMS), *metrics):
        own = [term for term in terms if term.key not in seen]
        seen |= {term.key for term in own}
        parts.append(tag("section", tag("h2", title), tag("dl", (_entry(term) for term in own), class_="glossary")))
    return Html("".join(parts))


def _entry(term: Term) -> Html:
    return Html(tag("dt", name_of(term.title), id=term.key) + tag("dd", clean(term.words)))
