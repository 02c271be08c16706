"""Turn collected data into charts of forecasts and of anomaly scores: pure functions, dicts in, `Chart` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import ABSENT, clean, plain
from bench.report.chart import FIRST, Chart, axis, layout, upright, wrapped
from bench.report.palette import BAND, INK, LIGHT, MARK, style

Data = Mapping[str, Any]
BLUE, RED = LIGHT[0], LIGHT[1]


def forecast_chart(figure: Data, model: str, at: int) -> Chart:
    """Draw one of a model's series: history, truth, median and 80 % band, each cut-off as a line.

    `figure`: of `bench.tasks.forecasting.figures.collect`; `at`: which of the model's picks.
    """
    pick = figure["models"][model][at]
    series, cutoffs, time = figure["series"][pick["series"]], figure["cutoffs"], figure["time"]
    steps = _steps(figure, pick)
    lines = [upright(time[c], "cut-off" if i == 0 else "") for i, c in enumerate(cutoffs)]
    return Chart(
        key=f"forecast-{at}",
        title=f"{pick['role'].capitalize()} by {figure['metric']}: {clean(series['name'])}",
        finding=_forecast_finding(figure, pick, steps),
        traces=[*truth_traces(time, series["values"], cutoffs[0]), *_forecast_traces(time, cutoffs, pick)],
        layout=layout(
            height=340, shapes=lines, hovermode="x unified", xaxis=axis(**step_axis(time)), margin={"l": 56, "r": 16, "t": 32, "b": 36}
        ),
        head=("time", "actual", "median", "80 % band, low", "80 % band, high"),
        rows=[(str(step["time"]), *(_number(step[key]) for key in ("actual", "median", "low", "high"))) for step in steps],
        note=_windows_note(figure),
    )


def horizon_chart(figure: Data) -> Chart | None:
    """Draw the error at each step ahead, one line a model, the leader first; None where it was not measured."""
    by_step = {m: v for m, v in figure.get("by_step", {}).items() if any(x is not None for x in v)}
    if not by_step:
        return None
    every = sorted(by_step, key=lambda m: (m != figure["leader"], _mean(by_step[m]), m))
    order = every[:FIRST]
    first = order[0]
    known = [(at, x) for at, x in enumerate(by_step[first], 1) if x is not None]
    (near, low), (far, high) = known[0], known[-1]
    steps = list(range(1, len(by_step[first]) + 1))
    traces = [_line(steps, by_step[m], m, i) for i, m in enumerate(order)]
    left = f"; the first {FIRST} of {len(every)} models" if len(every) > FIRST else ""
    others = "; from the sixth model on the lines are grey" if len(order) > len(LIGHT) else ""
    return Chart(
        key="horizon",
        title=f"Error by steps ahead, {figure['metric']} (lower is better)",
        finding=f"{clean(first)} errs by {plain(low)} at step {near} and by {plain(high)} at step {far}.",
        traces=traces,
        layout=layout(height=380, x="steps ahead", y=figure["metric"], hovermode="x"),
        head=("steps ahead", *order),
        rows=[(str(step), *(plain(by_step[m][i]) for m in order)) for i, step in enumerate(steps)],
        note=f"One line a model, in the order of their mean error after the leader{others}{left}.",
    )


def anomaly_chart(figure: Data, model: str, at: int) -> Chart:
    """Draw one of a model's series: the values above, the score below on the same time, threshold and true spans.

    `figure`: of `bench.tasks.anomaly.figures.collect`; `at`: which of the model's picks.
    """
    pick = figure["models"][model][at]
    role = f"{pick['role'].capitalize()} by {figure['metric']}: " if pick["role"] != "shown" else ""
    return Chart(
        key=f"anomaly-{at}",
        title=f"{role}{clean(pick['name'])}",
        finding=_anomaly_finding(figure, pick),
        traces=[
            {
                "type": "scatter",
                "mode": "lines",
                "name": "value",
                "x": pick["time"],
                "y": pick["value"],
                "line": {"color": INK, "width": 1.2},
            },
            {**_score_line(pick), "yaxis": "y2"},
        ],
        layout=_timeline(pick),
        head=("what", "from", "to", "highest score", "above threshold"),
        rows=_anomaly_rows(pick),
        note=f"Each curve is thinned to at most 500 of {pick['steps']:,} steps; peaks are kept." if pick["thinned"] else "",
    )


def _steps(figure: Data, pick: Data) -> list[dict[str, Any]]:
    """List the forecast steps of all windows shown."""
    time, values = figure["time"], figure["series"][pick["series"]]["values"]
    found = []
    for window, cutoff in enumerate(figure["cutoffs"]):
        for step, median in enumerate(pick["median"][window]):
            at = cutoff + step
            if at < len(time):
                curve = {"median": median, "low": pick["low"][window][step], "high": pick["high"][window][step]}
                found.append({"time": time[at], "actual": values[at], **curve})
    return found


def _forecast_finding(figure: Data, pick: Data, steps: Sequence[Data]) -> str:
    known = [s for s in steps if s["actual"] is not None]
    inside = sum(s["low"] <= s["actual"] <= s["high"] for s in known)
    return f"{figure['metric']} {plain(pick['score'])}; {inside} of {len(known)} actual values lie inside the 80 % band."


def _windows_note(figure: Data) -> str:
    shown, every = len(figure["cutoffs"]), figure["windows"]
    left = f"; the last {shown} of {every} test windows are shown" if shown < every else ""
    return f"Chosen by rule, of {figure['series_total']:,} series{left}; the table lists the forecast steps."


def truth_traces(time: Sequence[Any], values: Sequence[Any], split: int) -> list[dict[str, Any]]:
    """Draw what is known of a series: history as a line, the truth after the first cut-off with dots."""
    before, after = slice(0, split + 1), slice(split, None)
    base = {"type": "scatter", "hoverinfo": "x+y+name"}
    return [
        {**base, "mode": "lines", "name": "history", "x": time[before], "y": values[before], "line": {"color": INK, "width": 1.2}},
        {
            **base,
            "mode": "lines+markers",
            "name": "actual",
            "x": time[after],
            "y": values[after],
            "line": {"color": INK, "width": 1.2, "dash": "dot"},
            "marker": {"color": INK, "symbol": "circle", "size": 5},
        },
    ]


def _forecast_traces(time: Sequence[Any], cutoffs: Sequence[int], pick: Data) -> list[dict[str, Any]]:
    """Draw band and median window by window: a gap parts them, since each was forecast from another cut-off."""
    x: list[Any] = []
    y: list[Any] = []
    band_x: list[Any] = []
    band_y: list[Any] = []
    for window, cutoff in enumerate(cutoffs):
        own = list(time[cutoff : cutoff + len(pick["median"][window])])
        low, median, high = (pick[key][window][: len(own)] for key in ("low", "median", "high"))
        x += [*own, None]
        y += [*median, None]
        band_x += [*own, *own[::-1], None]
        band_y += [*low, *high[::-1], None]
    band = {"fill": "toself", "fillcolor": BAND, "mode": "lines", "line": {"width": 0, "color": BLUE}, "hoverinfo": "skip"}
    dots = {"color": BLUE, "symbol": "square", "size": 5}
    return [
        {"type": "scatter", "name": "80 % band", "x": band_x[:-1], "y": band_y[:-1], **band},
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "median forecast",
            "x": x[:-1],
            "y": y[:-1],
            "line": {"color": BLUE, "width": 2.2, "dash": "dash"},
            "marker": dots,
        },
    ]


def _line(x: Sequence[Any], y: Sequence[Any], name: str, at: int) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines+markers", "name": wrapped(name, 28), "x": list(x), "y": list(y), **style(at)}


def _score_line(pick: Data) -> dict[str, Any]:
    line = {"color": BLUE, "width": 1.4}
    return {"type": "scatter", "mode": "lines", "name": "score", "x": pick["score_time"], "y": pick["score"], "line": line}


def _timeline(pick: Data) -> dict[str, Any]:
    """Lay out two rows on one time axis; true spans run through both, outlined and numbered."""
    shapes: list[dict[str, Any]] = [
        {
            "type": "rect",
            "x0": span["first"],
            "x1": span["last"],
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"color": RED, "width": 1.5},
            "fillcolor": MARK,
            "layer": "below",
        }
        for span in pick["spans"]
    ]
    marks = [
        {"x": s["first"], "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "left", "showarrow": False, "text": f"true {i}"}
        for i, s in enumerate(pick["spans"], 1)
    ]
    if pick["until"] is not None:
        shapes.append(upright(pick["until"], "", dash="dash", ref="paper"))
        below = {"y": 0.51, "yref": "paper", "yanchor": "middle", "xanchor": "left", "showarrow": False}
        marks.append({"x": pick["until"], "text": "scored from here", **below})
    if pick["threshold"] is not None:
        limit = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y2", "y0": pick["threshold"], "y1": pick["threshold"]}
        word = {"text": "threshold", "textposition": "start", "font": {"size": 12, "color": INK}}
        shapes.append({**limit, "line": {"color": RED, "dash": "dash", "width": 1.5}, "label": word})
    x = axis(anchor="y2", **step_axis([*pick["time"], *pick["score_time"]]))
    above, below_ = axis("value", domain=[0.55, 1]), axis("score", domain=[0, 0.45], range=_score_range(pick))
    small = [{**m, "font": {"size": 12, "color": INK}} for m in marks]
    base = layout(height=420, shapes=shapes, annotations=small, xaxis=x, yaxis=above, yaxis2=below_, showlegend=False)
    return {**base, "margin": {"l": 56, "r": 16, "t": 28, "b": 36}}


def _score_range(pick: Data) -> list[float]:
    """Leave room above the threshold for its word."""
    known = [x for x in [*pick["score"], pick["threshold"]] if x is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    return [low - 0.05 * (high - low), high + 0.18 * (high - low or 1.0)]


def _anomaly_finding(figure: Data, pick: Data) -> str:
    spans = pick["spans"]
    found = sum(_above(s["peak"], pick["threshold"]) for s in spans)
    score = f"{figure['metric']} {plain(pick['judged'])}; " if pick["judged"] is not None else ""
    if not spans:
        return f"{score}no true window in this series."
    return f"{score}the score passes the threshold in {found} of {len(spans)} true windows."


def _anomaly_rows(pick: Data) -> list[tuple[str, ...]]:
    limit = pick["threshold"]
    rows = [
        (f"true {i}", str(s["first"]), str(s["last"]), _number(s["peak"]), "yes" if _above(s["peak"], limit) else "no")
        for i, s in enumerate(pick["spans"], 1)
    ]
    tops = [
        (
            f"score rank {i}, {'inside' if t['inside'] else 'outside'} the true windows",
            str(t["time"]),
            str(t["time"]),
            _number(t["score"]),
            "yes" if _above(t["score"], limit) else "no",
        )
        for i, t in enumerate(pick["top"], 1)
    ]
    return [*rows, *tops]


def _above(score: float | None, limit: float | None) -> bool:
    return score is not None and limit is not None and score > limit


def step_axis(time: Sequence[Any]) -> dict[str, Any]:
    """Return which kind of axis the times need: dates, or numbers of steps."""
    return {"type": "date"} if any(isinstance(t, str) and "-" in t for t in time[:1]) else {"title": {"text": "step", "font": {"size": 13}}}


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.4g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _mean(values: Sequence[float | None]) -> float:
    known = [v for v in values if v is not None]
    return sum(known) / len(known)
