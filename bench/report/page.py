"""The skeleton of every page: head, breadcrumb, title, verdict, body, foot; and the data that its script draws."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.board.numbers import clean
from bench.report.chart import Chart
from bench.report.glossary import FILE as GLOSSARY
from bench.report.html import Html, Inner, joined, name_of, tag
from bench.report.palette import dark_colours

Link = tuple[str, str]
"""The words, and where they lead; an empty address: this page."""


@dataclass(frozen=True)
class Page:
    """One page before it is written."""

    file: str
    """`board.html`: all pages lie in one folder."""
    title: str
    verdict: str
    body: Html
    trail: Sequence[Link] = ()
    facts: Sequence[str] = ()
    """Short words below the verdict: date, versions, profile, `simulated`."""
    charts: Sequence[Chart] = ()
    site: str = "bench"
    rows: Mapping[str, Any] | None = None
    """Data of a table that is too long for HTML."""
    rest: Sequence[Any] = ()
    """Rows of the sortable table that do not stand in the page."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Data of charts that follow what the reader chooses, by the chart's key."""

    @property
    def has_data(self) -> bool:
        """Return whether a script with data belongs to the page."""
        return bool(self.charts or self.rows is not None or self.rest)

    @property
    def data_file(self) -> str:
        """Name the script that holds this page's data."""
        return f"data-{Path(self.file).stem}.js"


def write_page(report: Path, page: Page) -> Path:
    """Write a page, and its data beside it where it has any; each whole or not at all."""
    if page.has_data:
        _write(report / page.data_file, data_script(page))
    return _write(report / page.file, render(page))


def data_script(page: Page) -> str:
    """Write what the page's script draws, as a classic script: `fetch` does not work from a disk."""
    found: dict[str, Any] = {"charts": {chart.key: chart.spec() for chart in page.charts}, "dark": dark_colours()}
    if page.rows is not None:
        found["rows"] = page.rows
    if page.rest:
        found["rest"] = page.rest
    if page.more:
        found["more"] = page.more
    text = json.dumps(found, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    return f"window.BENCH={text};\n"


def render(page: Page) -> str:
    """Write a page's HTML."""
    body = tag("body", _header(page), tag("main", _opening(page), page.body, id="main"), _footer(), _scripts(page))
    return f"<!DOCTYPE html>\n{tag('html', _head(page), body, lang='en')}\n"


def _head(page: Page) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{clean(page.title)} - {clean(page.site)}"),
        tag("link", rel="icon", href="data:,"),
        tag("link", rel="stylesheet", href="assets/dataTables.min.css"),
        tag("link", rel="stylesheet", href="assets/bench.css"),
        # before the first paint, so that a dark page does not flash
        tag("script", src="assets/bench.js"),
    )


def _header(page: Page) -> Html:
    steps = (tag("li", _link(words, to)) for words, to in page.trail)
    trail = tag("nav", tag("ol", steps, tag("li", name_of(page.title), aria_current="page")), aria_label="Breadcrumb", class_="trail")
    switch = tag("button", "Dark theme", type="button", id="theme", class_="needs-script")
    return tag("header", tag("a", "Skip to content", href="#main", class_="skip"), trail, switch)


def _opening(page: Page) -> Html:
    facts = tag("ul", (tag("li", name_of(fact)) for fact in page.facts), class_="facts") if page.facts else None
    verdict = tag("p", clean(page.verdict), class_="verdict") if page.verdict else None
    return joined(tag("h1", name_of(page.title)), verdict, facts)


def _footer() -> Html:
    words = tag("a", "Glossary", href=GLOSSARY)
    return tag("footer", words, ". Made by bench; the vendored scripts and their licences: ", tag("a", "list", href="assets/VENDORED.json"))


def _scripts(page: Page) -> Html:
    """Load the data and the libraries that this page needs, in order."""
    needed = [page.data_file] if page.has_data else []
    needed += ["assets/plotly-basic.min.js"] if page.charts else []
    needed += ["assets/choose.js"] if page.more else []
    needed += ["assets/dataTables.min.js"] if page.rows is not None or 'id="board"' in page.body else []
    return joined(tag("script", src=src) for src in needed)


def _link(words: str, to: str) -> Html:
    return tag("a", name_of(words), href=to) if to else name_of(words)


def section(title: str, *inner: Inner, key: str = "") -> Html:
    """Write a part of a page under its heading."""
    return tag("section", tag("h2", name_of(title)), inner, id=key or None)


def links(pairs: Sequence[Link], label: str) -> Html:
    """Write a list of links on one line; the one without an address is this page."""
    items = (tag("li", _link(words, to) if to else tag("strong", name_of(words), aria_current="page")) for words, to in pairs)
    return tag("nav", tag("ul", items), aria_label=label, class_="links")


def _write(path: Path, text: str) -> Path:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
