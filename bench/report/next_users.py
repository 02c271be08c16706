"""Lay out what some users did, what came next, and what was foretold: for a run's own report, never for what is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import clean
from bench.report.html import Html, joined, name_of, tag
from bench.report.page import section
from bench.report.tables import TableCell, plain_table


def users_section(figure: Mapping[str, Any]) -> Html:
    """Write the table of a figure of kind `next-users`; what came is bold where a model foretold it."""
    told = figure["told"]
    head = ("user", "asked about", "last items before", "came next", *(f"first five of {clean(model)}" for model in told))
    rows = [
        (
            one["user"],
            one["time"].replace("T", " "),
            _items(one["history"], ()) if one["history"] else "none",
            _items(one["came"], ()),
            *(_items(first, one["came"]) for first in one["told"]),
        )
        for one in figure["users"]
    ]
    said = f"{len(rows)} users chosen by a fixed hash, each at the last moment asked about, and the models {_and(told)}; bold: it came."
    return section("Some users, one by one", tag("p", said), plain_table("Histories, what came and what was foretold", head, rows))


def _items(names: Sequence[str], bold: Sequence[str]) -> TableCell:
    parts = [tag("strong", name_of(name)) if name in bold else name_of(name) for name in names]
    html = joined(*(part for at, name in enumerate(parts) for part in ((", " if at else ""), name)))
    # the cell's plain words are no number even where all items are: every line of a column stands on one side
    return TableCell(f"items {', '.join(names)}", html)


def _and(names: Sequence[str]) -> str:
    return " and ".join(map(clean, names))
