"""Colour for tables on a terminal; NO_COLOR switches it off, FORCE_COLOR on, as https://no-color.org and force-color.org say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TextIO

BOLD, GREEN, RED, DIM, END = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def coloured(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether a stream may be coloured."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (stream.isatty() and environ.get("TERM", "").lower() not in {"", "dumb", "unknown"})


def painted(table: str, stream: TextIO, environ: Mapping[str, str]) -> str:
    """Colour a printed board line by line: heads bold, the leader green, failures red, notes dim; nothing but colour is added."""
    if not coloured(stream, environ):
        return table
    return "\n".join(_painted(line) for line in table.split("\n"))


def _painted(line: str) -> str:
    for pattern, style in STYLES:
        if line and pattern.search(line):
            return f"{style}{line}{END}"
    return line


STYLES = (
    (re.compile(r"^(rank\s|\S+ leads[;,]?)|\bleads; "), BOLD),
    (re.compile(r"^1=?\s"), GREEN),
    (re.compile(r"^-\s.*\b(failed|timeout|oom|crash|invalid)\b"), RED),
    (re.compile(r"^(test .*better\)|.*intervals: 95 %)"), DIM),
)
"""What a line looks like -> its style; the first that fits."""
