"""Build HTML by functions: every string is escaped, unless it is `Html` already."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from html import escape

from bench.board.numbers import clean

VOID = frozenset({"input", "link", "meta", "br"})


class Html(str):
    """Text that is markup already; anything else is escaped where it is put in."""

    __slots__ = ()


Inner = str | Iterable["Inner"] | None
"""What stands inside a tag: text (escaped), `Html` (as it is), several of these, or nothing."""


def tag(name: str, /, *inner: Inner, **attributes: str | int | bool | None) -> Html:
    """Write one element; `_` in an attribute's name becomes `-`, a trailing one goes (`class_`); False and None leave it out."""
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False)
    return Html(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{joined(*inner)}</{name}>")


def joined(*inner: Inner) -> Html:
    """Put parts one after the other, text escaped."""
    return Html("".join(_piece(part) for part in inner))


def name_of(text: str) -> Html:
    """Write foreign text, such as a model's name, isolated: a right-to-left name does not turn what stands around it."""
    return tag("bdi", clean(text))


def slug(*names: str, beside: str = "") -> str:
    """Make a file name of names: readable ASCII, then a digest of all that was given, so no two names collide."""
    plain = "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] for name in names)))
    return f"{plain or 'x'}-{hashlib.sha256(repr((names, beside)).encode()).hexdigest()[:8]}"


def _attribute(key: str, value: str | int | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def _piece(part: Inner) -> str:
    if part is None:
        return ""
    if isinstance(part, str):
        return part if isinstance(part, Html) else escape(part, quote=False)
    return "".join(_piece(one) for one in part)
