"""Describe a task id in a sentence: `h=28d/elig=h/split=time` and the like."""

from __future__ import annotations

from collections.abc import Callable

from bench.board.numbers import clean
from bench.report.html import Html, tag

QUESTIONS = {
    "churn": "Which users, active until a cut-off, do nothing in the time after it?",
    "forecasting": "What will the series be over the next steps?",
    "next-event": "What will each user do next?",
    "anomaly": "Which steps of a user or series are unlike what came before?",
}
"""Task -> the question that its models answer."""
FAMILIES = {"labelled": "labelled anomalies", "injected": "injected anomalies", "spliced": "takeovers by another user"}
DESCRIPTIONS: dict[str, Callable[[str], str]] = {
    "h": lambda v: f"horizon {v}" if v.endswith("d") else f"horizon {v} steps",
    "elig": lambda v: "eligible: active within one horizon before the cut-off" if v == "h" else "eligible: ever active before the cut-off",
    "split": lambda v: {"time": "split by time", "time+user": "split by time and user"}.get(v, f"split by {v}"),
    "cutoffs": lambda v: f"{v} training cut-offs",
    "labels": lambda v: "labels came with the data" if v == "given" else f"labels {v}",
    "activity": lambda v: f"active means {v.replace('+', ', ')}",
    "level": lambda v: "series as given" if v == "given" else f"one series per {v}" if v != "total" else "one series of all events",
    "target": lambda v: {"count": "of counts", "sum": "of summed values"}.get(v, f"of {v}"),
    "freq": lambda v: {"D": "by day", "h": "by hour", "W": "by week", "MS": "by month"}.get(v, f"in steps of {v}"),
    "season": lambda v: f"season {v} steps",
    "windows": lambda v: f"{v} test windows",
    "family": lambda v: FAMILIES.get(v, v),
    "buffer": lambda v: f"VUS buffer {v} steps",
    "smooth": lambda v: f"scores smoothed over {v} steps",
    "users": lambda v: f"at most {v} users",
    "steps": lambda v: f"at most {v} steps",
    "prefix": lambda v: f"the first {100 * float(v):g} % to train on" if v.replace(".", "", 1).isdigit() else f"prefix {v}",
    "rows": lambda v: f"at most {int(v):,} training rows" if v.isdigit() else f"training rows {v}",
    "history": lambda v: f"the last {v} events or steps of each",
    "valid": lambda v: f"{v} validations",
    "rank": lambda v: f"ranked by {v.upper()}",
    "seed": lambda v: f"seed {v}",
    "epochs": lambda v: f"at most {v} epochs",
}
"""Key of a task id -> what its value means."""


def question_of(task: str) -> str:
    """Return the question of a task; empty for one that has not said it."""
    return QUESTIONS.get(task, "")


def protocol_html(task_id: str) -> Html:
    """Write a task id with the sentence that spells it."""
    words = protocol_words(task_id)
    return tag("p", f"{words[:1].upper()}{words[1:]}. " if words else "", tag("span", f"Task id: {clean(task_id)}"), class_="task-id")


def protocol_words(task_id: str) -> str:
    """Spell a task id for people; parts that are not known stay as they are."""
    _, _, *parts = [*task_id.split("/"), "", ""][: max(2, task_id.count("/") + 1)]
    return ", ".join(_part(part) for part in parts if part)


def _part(part: str) -> str:
    key, equals, value = part.partition("=")
    return DESCRIPTIONS[key](value) if equals and key in DESCRIPTIONS else part
