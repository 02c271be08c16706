"""Tables of what anomaly models found: by kind for all models of a board, by kind and strength for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.html import Html, joined, tag
from bench.report.tables import TableCell, plain_table

Detail = Mapping[str, Any]
"""A line of `details.parquet`: `model`, `by`, `at` (the kind), `strength`, `decoy`, `incidents`, `found`."""


def by_kind(details: Sequence[Detail], models: Sequence[str]) -> Html | None:
    """Write model x kind, all strengths together, and the alarms on decoys; None where no incident has a kind."""
    own = [d for d in details if d.get("by") == "kind"]
    kinds = sorted({d["at"] for d in own if not d["decoy"]})
    if not kinds:
        return None
    decoys = any(d["decoy"] for d in own)
    rows: list[tuple[str | TableCell, ...]] = []
    for model in models:
        mine = [d for d in own if d["model"] == model]
        if mine:
            cells = [_share([d for d in mine if d["at"] == kind and not d["decoy"]]) for kind in kinds]
            rows.append((model, *cells, *([_share([d for d in mine if d["decoy"]], tint=False)] if decoys else [])))
    head = ("model", *kinds, *(["decoys (lower is better)"] if decoys else []))
    return joined(plain_table("Incidents found, by kind", head, rows), _note(decoys=decoys))


def by_strength(details: Sequence[Detail], model: str) -> Html | None:
    """Write kind x strength of one model, decoys as rows of their own; None where no incident has a kind."""
    own = [d for d in details if d.get("by") == "kind" and d["model"] == model]
    if not own:
        return None
    strengths = sorted({d["strength"] for d in own if d["strength"] is not None})
    places = sorted({(d["decoy"], d["at"]) for d in own})
    rows: list[tuple[str | TableCell, ...]] = []
    for decoy, kind in places:
        mine = [d for d in own if (d["decoy"], d["at"]) == (decoy, kind)]
        cells = [_share([d for d in mine if d["strength"] == strength], tint=not decoy) for strength in strengths]
        rows.append((f"decoy: {kind}" if decoy else kind, *cells, _share(mine, tint=not decoy)))
    head = ("kind", *(f"strength {strength:g}" for strength in strengths), "all")
    return joined(plain_table("Incidents found, by kind and strength", head, rows), _note(decoys=any(decoy for decoy, _ in places)))


def _share(details: Sequence[Detail], *, tint: bool = True) -> TableCell:
    """Format `43 % (3 of 7)`, the tint as a second channel; where there was no such incident, say so."""
    found, every = (sum(d[name] for d in details) for name in ("found", "incidents"))
    if not every:
        return TableCell("none put in")
    return TableCell(f"{found / every:.0%} ({found:,} of {every:,})", class_=f"tint{-(-3 * found // every)}" if tint and found else "")


def _note(*, decoys: bool) -> Html:
    more = " A decoy is a change that is no incident: an alarm on it is a false one." if decoys else ""
    words = f"Found: the score passes the threshold that 1 % of the training scores exceed, somewhere inside.{more}"
    return tag("p", words, class_="caption")
