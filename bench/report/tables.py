"""Tables: true HTML that prints, reads aloud and works without a script; the script adds sorting and filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.board.numbers import clean
from bench.report.glossary import head_link, head_mark
from bench.report.html import Html, joined, name_of, tag

MOST = 60
"""Rows of a table that all stand in the page."""


@dataclass(frozen=True)
class TableCell:
    """One cell: its words, and what to show and sort by where that is more than the words."""

    text: str
    html: Html | None = None
    order: float | str | None = None
    class_: str = ""
    href: str = ""
    """Where the words lead."""

    @property
    def content(self) -> Html:
        """Write what the cell shows."""
        if self.html is not None:
            return self.html
        return tag("a", name_of(self.text), href=self.href) if self.href else name_of(self.text)


@dataclass(frozen=True)
class Head:
    """Name a column: its unit and direction stand in the words."""

    text: str
    key: str
    right: bool = False
    hidden: bool = False
    """Shown only when chosen from the column picker."""
    choices: bool = False
    """A filter lists its values."""
    missing: float = -1e99
    """What a missing number sorts as, in a table that the script writes."""
    digits: int | None = None
    """Decimals of numbers that the script writes; None: the cells hold words."""


def plain_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str | TableCell]]) -> Html:
    """Write a table without controls, in a box that scrolls by itself; each row begins with its header, numbers stand right."""
    top = tag("tr", (tag("th", head_link(word), scope="col") for word in head))
    body = (tag("tr", (_plain_cell(cell, first=at == 0) for at, cell in enumerate(row))) for row in rows)
    table = tag("table", tag("caption", clean(caption)), tag("thead", top), tag("tbody", body), class_="plain")
    return scrolled(table, clean(caption))


def sortable(
    caption: str, head: Sequence[Head], rows: Sequence[Sequence[TableCell]], *, name: int = 1, order: str = "0:asc", first: int = MOST
) -> Html:
    """Write the page's one table that the script makes sortable; column `name` holds the rows' headers.

    Of more rows than `MOST` only the `first` stand in the page; the script adds those of `rest` when the reader asks for
    them, or sorts or filters.
    """
    shown = list(rows) if len(rows) <= MOST else list(rows)[:first]
    left = len(rows) - len(shown)
    top = tag("tr", (tag("th", column.text, head_mark(column.text), **_marks(column)) for column in head))
    body = tag("tbody", (_row(head, row, name) for row in shown))
    table = tag("table", tag("caption", caption), tag("thead", top), body, id="board", class_="board", data_first=order, data_name=name)
    return joined(_controls(head), scrolled(table, caption), _more(len(shown), left), tag("p", id="said", role="status", class_="said"))


def rest(rows: Sequence[Sequence[TableCell]], first: int) -> list[list[list[str | float]]]:
    """Lay out for the script the rows that `sortable` leaves out: of each cell the words, what it sorts by, its class, where it leads."""
    if len(rows) <= MOST:
        return []
    return [[_packed(cell) for cell in row] for row in list(rows)[first:]]


def _packed(cell: TableCell) -> list[str | float]:
    parts: list[str | float] = [clean(cell.text), cell.text if cell.order is None else cell.order, cell.class_, cell.href]
    while not parts[-1] and len(parts) > 2:
        parts.pop()
    return parts[:1] if len(parts) == 2 and parts[0] == parts[1] else parts


def _more(shown: int, left: int) -> Html | None:
    if not left:
        return None
    words = f"The first {shown} of {shown + left} rows. "
    button = tag("button", f"Show all {shown + left} rows", type="button", id="all", class_="needs-script")
    return tag(
        "p", words, button, tag("span", " All of them stand in the rows that this page links.", class_="without-script"), class_="more"
    )


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
    content = cell.content
    # both attributes on every cell: the script then never writes a cell anew, so it cannot turn text into markup
    marks: dict[str, str | None] = {"data_order": str(order), "data_search": clean(cell.text), "class_": classes or None}
    return tag("th", content, scope="row", **marks) if header else tag("td", content, **marks)


def _plain_cell(cell: str | TableCell, *, first: bool) -> Html:
    words = (cell if isinstance(cell, str) else cell.text) or "none"
    content = cell.content if isinstance(cell, TableCell) and cell.text else name_of(words)
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
