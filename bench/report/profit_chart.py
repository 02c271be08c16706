"""Draw what acting on a churn model earns, by the reader's own cost and value; the page's script draws it anew for other numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import clean
from bench.metrics.rounding import rounded
from bench.report.chart import Chart, axis, layout, wrapped
from bench.report.churn_charts import COLOURED, named, percent, thin
from bench.report.html import Html, tag
from bench.report.palette import style

Data = Mapping[str, Any]
EXAMPLE = {"cost": 1.0, "value": 20.0, "kept": 0.2}
"""Numbers that the page begins with: of one contact, of a user who stays, and the share of churners whom a contact keeps."""
FIELDS = (
    ("cost", "Cost of one contact", "any"),
    ("value", "Value of a user who stays", "any"),
    ("kept", "Share of contacted churners who then stay", "0.01"),
)


def profit_data(figure: Data, models: Sequence[str]) -> dict[str, Any]:
    """Return what the script needs: test users, base rate, and for each model the shares of users and of churners reached."""
    curves = [[named(figure, m), figure["models"][m]["gain"]] for m in models[:COLOURED]]
    return {"users": figure["n"][figure["test_cutoff"]], "base": figure["base_rate"], "models": curves}


def profit_form(key: str = "profit") -> Html:
    """Write the fields; without a script the example stands."""
    fields = (
        tag("label", f"{words} ", tag("input", type="number", min="0", step=step, name=name, value=f"{EXAMPLE[name]:g}"))
        for name, words, step in FIELDS
    )
    return tag("form", fields, class_="controls needs-script", data_choose="profit", data_chart=key)


def profit(share: float, caught: float, data: Data, numbers: Mapping[str, float]) -> float:
    """Return the profit of contacting a share of the users that holds a share `caught` of the churners."""
    reached = float(data["users"] * data["base"] * caught)
    return numbers["value"] * numbers["kept"] * reached - numbers["cost"] * float(data["users"]) * share


def profit_chart(figure: Data, models: Sequence[str], key: str = "profit") -> Chart:
    """Draw the profit against the share of users contacted, highest scores first, one line a model."""
    data = profit_data(figure, models)
    lines = {name: [(x, profit(x, y, data, EXAMPLE)) for x, y in gain] for name, gain in data["models"]}
    best = {name: max(points, key=lambda point: point[1]) for name, points in lines.items()}
    first = max(best, key=lambda name: best[name][1])
    whole = profit(1, 1, data, EXAMPLE)
    return Chart(
        key=key,
        title="Profit of contacting the users with the highest scores",
        finding=f"With these numbers {clean(first)} earns most, {best[first][1]:,.0f}, by contacting {percent(best[first][0])} of the "
        f"users; contacting everybody earns {whole:,.0f}.",
        traces=[_line(name, points, at) for at, (name, points) in enumerate(lines.items())],
        layout=layout(
            height=380,
            xaxis=axis("share of users contacted", range=[0, 1.01], tickformat=".0%"),
            yaxis=axis("profit"),
            shapes=[{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "line": thin("dot")}],
        ),
        head=("model", "most profit", "by contacting", "users contacted", "contacting everybody"),
        rows=[(name, f"{y:,.0f}", percent(x), f"{x * data['users']:,.0f}", f"{whole:,.0f}") for name, (x, y) in best.items()],
        note="Profit: value x share who stay x churners reached, less cost x users contacted, on the test users; the numbers are examples.",
    )


def _line(name: str, points: Sequence[tuple[float, float]], at: int) -> dict[str, Any]:
    look = style(at)["line"]
    x, y = ([rounded(one[n]) for one in points] for n in (0, 1))
    return {"type": "scatter", "mode": "lines", "name": wrapped(name, 28), "x": x, "y": y, "line": look}
