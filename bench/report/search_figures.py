"""Charts of a search: its history, and which parameters mattered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import plain
from bench.metrics.rounding import rounded
from bench.report.chart import Chart, axis, layout, wrapped
from bench.report.palette import GREY, INK, LIGHT

Trial = Mapping[str, Any]
MOST = 500
"""Trials that a history shows."""
LEAST = 4
"""Trials below which importance is not computed."""
TOP = 10


def history_chart(trials: Sequence[Trial], label: str, *, higher: bool) -> Chart | None:
    """Draw each trial's validation score, the best so far as steps, failed trials as crosses; None without trials."""
    if not trials:
        return None
    shown = sorted(trials, key=lambda t: t["number"])[:MOST]
    scored = [t for t in shown if _scored(t)]
    failed = [t for t in shown if not _scored(t)]
    best = _best_so_far([t["value"] for t in scored], higher=higher)
    numbers = [t["number"] for t in scored]
    traces = [
        _dots("trial", numbers, [rounded(t["value"]) for t in scored], GREY, "circle"),
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": numbers,
            "y": [rounded(v) for v in best],
            "line": {"color": LIGHT[0], "width": 2, "shape": "hv", "dash": "solid"},
        },
    ]
    if failed:
        crosses = _dots("failed", [t["number"] for t in failed], [0.02] * len(failed), LIGHT[1], "x")
        traces.append({**crosses, "yaxis": "y2", "hoverinfo": "x+name"})
    ends = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    way = "higher" if higher else "lower"
    return Chart(
        key="history",
        title=f"Search: valid {label} of each trial ({way} is better)",
        finding=_finding(scored, failed, best, label),
        traces=traces,
        layout=layout(height=320, xaxis=axis("trial", dtick=max(1, len(shown) // 10)), yaxis=axis(f"valid {label}"), yaxis2=ends),
        head=("trial", f"valid {label}", "status", "seconds to fit"),
        rows=[(str(t["number"]), plain(t["value"] if _scored(t) else None), t["status"], plain(t.get("fit_seconds"), 1)) for t in shown],
        note=f"The first {MOST} of {len(trials):,} trials." if len(trials) > MOST else "Trial 0 is the author's default.",
    )


def importance(trials: Sequence[Trial], *, higher: bool) -> dict[str, float]:
    """Compute each parameter's importance (PED-ANOVA, Watanabe et al. 2023), greatest first; {} where there is too little.

    The search space is not stored with the trials: the range seen stands for it.
    """
    done = [(json.loads(t["params"]), t["value"]) for t in trials if _scored(t)]
    space = _space([params for params, _ in done])
    if len(done) < LEAST or not space or len({value for _, value in done}) < 2:
        return {}
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # brings scikit-learn

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if higher else "minimize")
    for params, value in done:
        own = {name: params[name] for name in space}
        study.add_trial(optuna.trial.create_trial(params=own, distributions=space, value=value))
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def importance_chart(found: Mapping[str, float], trials: int) -> Chart:
    """Draw the shares as bars with their numbers, at most ten."""
    top = list(found.items())[:TOP]
    name, share = top[0]
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "importance",
        "x": [rounded(v) for _, v in top],
        "y": list(range(len(top))),
        "text": [plain(v, 2) for _, v in top],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": LIGHT[0]},
        "textfont": {"color": INK},
        "hoverinfo": "skip",
    }
    ticks: dict[str, Any] = {
        "tickvals": list(range(len(top))),
        "ticktext": [wrapped(n) for n, _ in top],
        "range": [len(top) - 0.5, -0.5],
        "showgrid": False,
    }
    few = " A hint only: with so few trials it is mostly chance." if trials < 4 * max(len(found), 5) else ""
    return Chart(
        key="importance",
        title="Which parameters mattered",
        finding=f"{name} explains {share:.0%} of what parted the better trials from the others.",
        traces=[bars],
        layout=layout(
            height=100 + 34 * len(top), xaxis=axis("share of importance", range=[0, 1.15]), yaxis=axis(**ticks), showlegend=False
        ),
        head=("parameter", "importance"),
        rows=[(n, plain(v, 3)) for n, v in found.items()],
        note=f"PED-ANOVA over {trials} trials, within the ranges tried.{few}",
    )


def _scored(trial: Trial) -> bool:
    return trial["status"] == "ok" and trial.get("value") is not None


def _best_so_far(values: Sequence[float], *, higher: bool) -> list[float]:
    from itertools import accumulate

    return list(accumulate(values, max if higher else min))


def _finding(scored: Sequence[Trial], failed: Sequence[Trial], best: Sequence[float], label: str) -> str:
    counts = f"{len(scored)} trials ok, {len(failed)} failed"
    if not scored:
        return f"{counts}; no trial succeeded."
    first = next(t for t in scored if t["value"] == best[-1])
    return f"{counts}; the best valid {label} is {plain(best[-1])}, from trial {first['number']}."


def _dots(name: str, x: Sequence[Any], y: Sequence[Any], colour: str, shape: str) -> dict[str, Any]:
    marker = {"color": colour, "symbol": shape, "size": 9}
    return {"type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": list(y), "marker": marker}


def _space(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Infer a distribution for each parameter that every trial has and that took more than one value."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space: dict[str, Any] = {}
    for name in sorted(set.intersection(*(set(p) for p in found))) if found else []:
        values = [p[name] for p in found]
        if len(set(map(repr, values))) < 2:
            continue
        if any(isinstance(v, bool | str) or v is None for v in values):
            space[name] = CategoricalDistribution(tuple(dict.fromkeys(values)))
        elif all(isinstance(v, int) for v in values):
            space[name] = IntDistribution(min(values), max(values))
        elif all(isinstance(v, int | float) for v in values):
            space[name] = FloatDistribution(float(min(values)), float(max(values)))
    return space
