"""The glossary as a page."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.glossary import FILE, glossary_body
from bench.report.page import Link, Page


def glossary_page(tasks: Sequence[str], trail: Sequence[Link]) -> Page:
    """Make the page: the words of the tables, and the metrics of these tasks."""
    return Page(FILE, "Glossary", "What the columns and words of these pages mean.", glossary_body(tasks), trail)
