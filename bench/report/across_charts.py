"""Charts across data sets: mean ranks with their critical difference, and one model against another by data set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.across import Group, MeanRanks
from bench.board.metrics import ranking_label, ranking_metric, way
from bench.board.numbers import clean, plain, signed, span
from bench.board.ranking import merit
from bench.board.schema import Row
from bench.metrics.rounding import rounded
from bench.report.chart import Chart, axis, layout, upright, wrapped
from bench.report.palette import GREY, LIGHT, SHADE

MOST = 25
"""Models that a chart draws."""
Ends = tuple[float | None, float | None, float | None]
"""Low end, value, high end."""


def ranks_chart(found: MeanRanks, key: str) -> Chart:
    """Draw each mean rank with half the critical difference to both sides: models whose bars overlap are not told apart."""
    shown = list(zip(found.models, found.ranks, strict=True))[:MOST]
    level = [model for model, rank in shown if rank - found.ranks[0] <= found.difference]
    alike = f"; Friedman's test that all are alike: p = {found.p:.2g}" if not math.isnan(found.p) else ""
    left = f" The first {MOST} of {len(found.models)} models are drawn." if len(found.models) > MOST else ""
    half = found.difference / 2
    lacking = f" Not on all data sets, so left out: {', '.join(map(clean, found.left_out))}." if found.left_out else ""
    return Chart(
        key=key,
        title="Mean rank with its critical difference (lower is better)",
        finding=f"{clean(found.models[0])} has the best mean rank, {plain(found.ranks[0], 2)}; {len(level)} of {len(found.models)} models "
        f"are within the critical difference of {plain(found.difference, 2)} over {found.datasets} data sets{alike}.",
        traces=[_bars(shown, found.difference)],
        layout=_ranks_layout(shown, found),
        head=("model", "mean rank", "bar", "within the critical difference of the best"),
        rows=[
            (m, plain(r, 2), span(r - half, r + half), "yes" if r - found.ranks[0] <= found.difference else "no")
            for m, r in zip(found.models, found.ranks, strict=True)
        ],
        note=f"Nemenyi, 5 %; models whose bars overlap are not told apart; each data set weighs once.{left}{lacking}",
    )  # fmt: skip


def _bars(shown: Sequence[tuple[str, float]], difference: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "mean rank",
        "x": [rounded(rank) for _, rank in shown],
        "y": list(range(len(shown))),
        "error_x": {"type": "constant", "value": rounded(difference / 2), "color": LIGHT[0], "thickness": 2},
        "marker": {"color": LIGHT[0], "symbol": "circle", "size": 9},
        "hovertemplate": "%{x}<extra></extra>",
    }


def _ranks_layout(shown: Sequence[tuple[str, float]], found: MeanRanks) -> dict[str, Any]:
    half, best = found.difference / 2, shown[0][1]
    # what overlaps the bar of the best
    band = {"type": "rect", "xref": "x", "yref": "paper", "x0": best - half, "x1": best + half, "y0": 0, "y1": 1, "layer": "below"}
    drawn = _by_row([model for model, _ in shown], "mean rank", shapes=[{**band, "fillcolor": SHADE, "line": {"width": 0}}])
    # a bar may reach beyond the first and the last rank, where no model can be
    return {**drawn, "xaxis": {**drawn["xaxis"], "range": [0.5, len(found.models) + 0.5]}}


def _by_row(names: Sequence[str], words: str, **more: Any) -> dict[str, Any]:
    wide = [wrapped(name) for name in names]
    lines = sum(name.count("<br>") + 1 for name in wide)
    ticks: dict[str, Any] = {"tickvals": list(range(len(wide))), "ticktext": wide, "range": [len(wide) - 0.5, -0.5], "showgrid": False}
    return layout(height=110 + 12 * len(wide) + 14 * lines, xaxis=axis(words), yaxis=axis(**ticks), **more, showlegend=False)


def versus_data(group: Group) -> dict[str, Any]:
    """Lay out what the script needs to compare any two models: by data set the scores, the merits and the paired intervals."""
    sets = list(group.boards.items())
    return {
        "label": ranking_label(group.rows[0]),
        "datasets": [name for name, _ in sets],
        "leaders": [_first(board) for _, board in sets],
        "references": [str(board[0].get("reference") or "") for _, board in sets],
        "models": {
            model: [_facts(next((r for r in board if r["model"] == model), None)) for _, board in sets]
            for model in sorted({row["model"] for row in group.rows})
        },
    }


def _first(board: Sequence[Row]) -> str:
    ranked = [row for row in board if row.get("rank") == 1]
    return str(ranked[0]["model"]) if ranked else ""


def _facts(row: Row | None) -> dict[str, Any] | None:
    """Return score, merit, skill and distance behind the leader of one row; None where the model was not run or failed."""
    if row is None or math.isnan(merit(row)):
        return None
    found = {"score": rounded(row[ranking_metric(row)[0]]), "merit": rounded(merit(row))}
    return {**found, **{name: [rounded(row.get(f"{name}{end}")) for end in ("_low", "", "_high")] for name in ("skill", "behind")}}


def difference(data: Mapping[str, Any], at: int, one: str, other: str) -> Ends | None:
    """Return how much better `one` is than `other` on a data set, with the paired interval where one of them is leader or reference."""
    a, b = data["models"][one][at], data["models"][other][at]
    if a is None or b is None:
        return None
    gap = a["merit"] - b["merit"]
    for facts, name, anchor, sign in (
        (b, "behind", data["leaders"][at] == one, 1),
        (a, "behind", data["leaders"][at] == other, -1),
        (a, "skill", data["references"][at] == other, 1),
        (b, "skill", data["references"][at] == one, -1),
    ):
        low, _, high = facts[name]
        if anchor and low is not None and high is not None:
            return (sign * low, gap, sign * high) if sign > 0 else (-high, gap, -low)
    return None, gap, None


def versus_chart(group: Group, data: Mapping[str, Any], one: str, other: str, key: str) -> Chart:
    """Draw how much better one model is than another on each data set; the script draws it anew for other pairs."""
    label, better = data["label"], way(higher=ranking_metric(group.rows[0])[1])
    found = [(name, difference(data, at, one, other)) for at, name in enumerate(data["datasets"])]
    both = [(name, ends) for name, ends in found if ends is not None]
    won = sum(ends[1] is not None and ends[1] > 0 for _, ends in both)
    return Chart(
        key=key,
        title=f"One model against another by data set, in test {label} ({better} is better)",
        finding=f"{clean(one)} is better than {clean(other)} on {won} of {len(both)} data sets.",
        traces=[_gaps(both)],
        layout=_by_row([name for name, _ in both], f"advantage in test {label}", shapes=[upright(0, dash="dash", ref="paper")]),
        head=("data set", f"test {label} of the first", f"test {label} of the second", "advantage of the first", "95 % interval"),
        rows=[
            (name, *(_score(data["models"][m][at]) for m in (one, other)), "not both scored" if e is None else signed(e[1]), _interval(e))
            for at, (name, e) in enumerate(found)
        ],
        note="Right of the line the first is better. Intervals are paired; they are known where one of the two leads or is the reference.",
    )


def _score(facts: Mapping[str, Any] | None) -> str:
    return "no score" if facts is None else plain(facts["score"])


def _interval(ends: Ends | None) -> str:
    return "not known" if ends is None or ends[0] is None else span(ends[0], ends[2], signed)


def _gaps(both: Sequence[tuple[str, Ends]]) -> dict[str, Any]:
    def half(ends: Ends, end: int) -> float | None:
        return 0 if ends[end] is None or ends[1] is None else rounded(abs(float(ends[end] or 0.0) - ends[1]))

    return {
        "type": "scatter",
        "mode": "markers",
        "name": "advantage",
        "x": [rounded(ends[1]) for _, ends in both],
        "y": list(range(len(both))),
        "error_x": {
            "type": "data", "symmetric": False, "color": LIGHT[0], "thickness": 2,
            "array": [half(ends, 2) for _, ends in both], "arrayminus": [half(ends, 0) for _, ends in both],
        },
        "marker": {"color": [GREY if ends[0] is None else LIGHT[0] for _, ends in both], "symbol": "circle", "size": 9},
        "hovertemplate": "%{x}<extra></extra>",
    }  # fmt: skip
