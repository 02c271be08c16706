"""Draw what each search had reached after how much work: the anytime curve of a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from bench.board.metrics import ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain
from bench.board.schema import Row
from bench.metrics.rounding import rounded
from bench.report.chart import FIRST, Chart, axis, layout
from bench.report.palette import DASHES, LIGHT

Trial = Mapping[str, Any]
COLOURED = 4
"""Models that are drawn, the best on the board first; the table has all."""
MARKS = (10.0, 60.0, 300.0, 1200.0)
"""Seconds of work after which the table tells what was reached."""


def anytime_chart(rows: Sequence[Row], trials: Sequence[Trial]) -> Chart | None:
    """Draw the best score on the latest validation so far against the worker seconds spent; `rows` as the table orders them.

    Every trial meets the latest validation, so its score there compares trials whatever else they met. None where no
    model of the board has two trials with a score.
    """
    curves = {row["model"]: curve(_own(trials, row["model"]), higher=ranking_metric(row)[1]) for row in rows}
    known = {model: found for model, found in curves.items() if len(found) > 1}
    if not known:
        return None
    label, better = ranking_label(rows[0]), way(higher=ranking_metric(rows[0])[1])
    shown = list(known)[:COLOURED]
    return Chart(
        key="anytime",
        title=f"Search: best valid {label} after how much work ({better} is better)",
        finding=_finding(known, label),
        traces=[_line(model, known[model], at) for at, model in enumerate(shown)],
        layout=layout(height=340, xaxis=axis("worker seconds", type="log"), yaxis=axis(f"valid {label}, best so far")),
        head=("model", "trials", *(f"after {seconds:g} s" for seconds in MARKS), "at the end", "seconds"),
        rows=[
            (model, str(len(found)), *_reached(found), plain(found[-1][1]), plain(found[-1][0], 1))
            for model, found in list(known.items())[:FIRST]
        ],
        note=f"The score on the latest validation, which every trial meets.{_others(len(known))}",
    )


def curve(trials: Sequence[Trial], *, higher: bool) -> list[tuple[float, float]]:
    """Return (worker seconds spent, best score so far) after each trial that scored, in the order of their numbers."""
    ordered = sorted(trials, key=lambda t: t["number"])
    spent = accumulate((t.get("fit_seconds") or 0.0) + (t.get("predict_seconds") or 0.0) for t in ordered)
    scored = [(at, float(t["latest_value"])) for at, t in zip(spent, ordered, strict=True) if _scored(t)]
    best = accumulate((value for _, value in scored), max if higher else min)
    return [(at, value) for (at, _), value in zip(scored, best, strict=True)]


def _scored(trial: Trial) -> bool:
    return trial["status"] == "ok" and trial.get("latest_value") is not None


def _own(trials: Sequence[Trial], model: str) -> list[Trial]:
    return [t for t in trials if t["model"] == model]


def _reached(found: Sequence[tuple[float, float]]) -> list[str]:
    done = [[value for at, value in found if at <= mark] for mark in MARKS]
    return [plain(own[-1]) if own else "nothing yet" for own in done]


def _finding(known: Mapping[str, Sequence[tuple[float, float]]], label: str) -> str:
    model, found = next(iter(known.items()))
    last = found[-1][1]
    at, reached = next((at, n) for n, (at, value) in enumerate(found, 1) if value == last)
    return f"{clean(model)} had its best valid {label}, {plain(last)}, after {reached} of {len(found)} trials and {plain(at, 1)} s of work."


def _others(models: int) -> str:
    return f" The first {COLOURED} of {models} models are drawn; the table has all." if models > COLOURED else ""


def _line(model: str, found: Sequence[tuple[float, float]], at: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": clean(model),
        "x": [rounded(max(seconds, 0.01)) for seconds, _ in found],
        "y": [rounded(value) for _, value in found],
        "line": {"color": LIGHT[at], "width": 2, "shape": "hv", "dash": DASHES[at]},
        "marker": {"color": LIGHT[at], "size": 5},
    }
