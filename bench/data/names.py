"""One rule for the names of models, data sets, adapters and families: they stand in tables, paths, pages and commands."""

from __future__ import annotations

import re

LONGEST = 80
NAME = re.compile(r"[^\W_][\w.+-]*")
RULE = f"letters, digits, '.', '_', '+' and '-', beginning with a letter or digit, at most {LONGEST} characters"


def is_name(text: object) -> bool:
    """Return whether a text may name something."""
    return isinstance(text, str) and len(text) <= LONGEST and NAME.fullmatch(text) is not None


def as_name(text: str) -> str:
    """Make a name of what a file or folder is called, each run of other characters a `-`."""
    plain = re.sub(r"[^\w.+-]+", "-", text).strip("-._+")[:LONGEST].rstrip("-._+")
    return plain or "data"
