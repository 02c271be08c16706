"""Tables: true HTML that prints, reads aloud and works without a script; the script adds sorting and filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.board.numbers import clean
from bench.report.html import Html, joined, name_of, tag


@dataclass(frozen=True)
class TableCell:
    """One cell: its words, and what to show and sort by where that is more than the words."""

    text: str
    html: Html | None = None
    order: float | str | None = None
    class_: str = ""


@dataclass(frozen=True)
class Head:
    """Name a column: its unit and direction stand in the words."""

    text: str
    key: str
    right: bool = False
    hidden: bool = False
    """ModelResult only when chosen from the column picker."""
    choices: bool = False
    """A filter lists its values."""
    missing: float = -1e99
    """What a missing number sorts as, in a table that the script writes."""
    digits: int | None = None
    """Decimals of numbers that the script writes; None: the cells hold words."""


def plain_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str | TableCell]]) -> Html:
    """Write a table without controls, in a box that scrolls by itself; each row begins with its header, numbers stand right."""
    top = tag("tr", (tag("th", clean(word), scope="col") for word in head))
    body = (tag("tr", (_plain_cell(cell, first=at == 0) for at, cell in enumerate(row))) for row in rows)
    table = tag("table", tag("caption", clean(caption)), tag("thead", top), tag("tbody", body), class_="plain")
    return scrolled(table, clean(caption))


def sortable(caption: str, head: Sequence[Head], rows: Sequence[Sequence[TableCell]], *, name: int = 1, order: str = "0:asc") -> Html:
    """Write the page's one table that the script makes sortable; column `name` holds the rows' headers."""
    top = tag("tr", (tag("th", column.text, **_marks(column)) for column in head))
    body = tag("tbody", (_row(head, row, name) for row in rows))
    table = tag("table", tag("caption", caption), tag("thead", top), body, id="board", class_="board", data_first=order)
    return joined(_controls(head), scrolled(table, caption), tag("p", id="said", role="status", class_="said"))


def scrolled(table: Html, label: str) -> Html:
    """Put a table into a box that scrolls sideways by itself and can be reached by keyboard."""
    return tag("div", table, class_="scroll", role="region", tabindex=0, aria_label=label)


def _marks(column: Head) -> dict[str, str | int | bool | None]:
    marks: dict[str, str | int | bool | None] = {"scope": "col", "data_key": column.key, "class_": "right" if column.right else None}
    return {
        **marks,
        "data_hidden": column.hidden,
        "data_choices": column.choices,
        "data_digits": column.digits,
        "data_missing": None if column.digits is None else f"{column.missing:g}",
    }


def _row(head: Sequence[Head], row: Sequence[TableCell], name: int) -> Html:
    return tag("tr", (_cell(column, cell, header=at == name) for at, (column, cell) in enumerate(zip(head, row, strict=True))))


def _cell(column: Head, cell: TableCell, *, header: bool) -> Html:
    order = cell.text if cell.order is None else cell.order
    classes = " ".join(filter(None, ["right" if column.right else "", cell.class_]))
    content = name_of(cell.text) if cell.html is None else cell.html
    # both attributes on every cell: the script then never writes a cell anew, so it cannot turn text into markup
    marks: dict[str, str | None] = {"data_order": str(order), "data_search": clean(cell.text), "class_": classes or None}
    return tag("th", content, scope="row", **marks) if header else tag("td", content, **marks)


def _plain_cell(cell: str | TableCell, *, first: bool) -> Html:
    words = (cell if isinstance(cell, str) else cell.text) or "none"
    content = cell.html if isinstance(cell, TableCell) and cell.html is not None else name_of(words)
    number = "right" if words.strip("+-.,0123456789 %eE").strip() in {"", "to"} else ""
    class_ = " ".join(filter(None, [number, cell.class_ if isinstance(cell, TableCell) else ""]))
    return tag("th", content, scope="row") if first else tag("td", content, class_=class_ or None)


def _controls(head: Sequence[Head]) -> Html:
    choices = (
        tag("label", f"{column.text} ", tag("select", tag("option", "all", value=""), data_filter=column.key))
        for column in head
        if column.choices
    )
    boxes = (tag("label", tag("input", type="checkbox", value=column.key, checked=not column.hidden), f" {column.text}") for column in head)
    picker = tag("details", tag("summary", "Columns"), tag("div", boxes, class_="boxes"), class_="picker")
    search = tag("label", "Filter ", tag("input", type="search", id="filter"))
    clear = tag("button", "Clear filters", type="button", id="clear")
    return tag("div", search, choices, picker, clear, class_="controls needs-script")
