"""What the first page of a place says of verifications: how much was verified, when, and who says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.board.merge import Merged, row_key
from bench.publish import signatures
from bench.publish.place import Published, State
from bench.publish.records import Record, counted, records
from bench.publish.signers import WORD
from bench.publish.store import Store
from bench.report.html import Html, joined, name_of, tag
from bench.report.tables import plain_table

HEADS = ("date", "signed by", "scored again", "fitted again", "failed", "claimed alone")
MOST = 5
"""Records that the page lists, the newest."""


@dataclass(frozen=True)
class Verified:
    """The records of a place with who signed each, and where its rows stand in their runs."""

    records: Sequence[tuple[Record, str]]
    """The newest first, with what its signatures say they are of; empty: unsigned."""
    refused: Sequence[str]
    places: Mapping[tuple[str, Any], int]
    """(run, row's key) -> the row's place in the run."""

    @classmethod
    def of(cls, store: Store, seen: State) -> Verified:
        """Read what there is."""
        found, refused = records(store, seen)
        places = {
            (run, row_key(row)): at for run in (seen.active_runs if found else ()) for at, row in enumerate(Published(store, run).rows())
        }
        there = signatures.there(store) if found else ()
        return cls([(record, signatures.claimed(store, record.name, there)) for record in found], refused, places)

    def sentence(self, merged: Merged, task: str) -> str:
        """Describe how much of a task's scored rows the newest record calls verified."""
        own = self.rows(merged, task)
        scored = sum(map(len, own.values()))
        if not self.records:
            return "No verification is recorded here."
        record, key = self.records[0]
        n = counted(record, own)
        again = f"{n['re-scored'] + n['re-run']:,} of {scored:,} scored rows scored again, {n['re-run']:,} of them fitted again"
        return f"Verification recorded on {record.time:%Y-%m-%d} ({_who(key)}): {again}, {n['failed']:,} failed."

    def rows(self, merged: Merged, task: str = "") -> dict[str, Collection[int]]:
        """Place the scored rows of the board (of one task) in their runs."""
        found: dict[str, set[int]] = {}
        for row, run in zip(merged.rows, merged.runs, strict=True):
            if row["status"] == "ok" and task in {"", row["task"]}:
                found.setdefault(run, set()).add(self.places.get((run, row_key(row)), -1))
        return dict(found)

    def html(self, merged: Merged) -> Html | None:
        """List the newest records, and say whose word they are."""
        if not self.records and not self.refused:
            return None
        own = self.rows(merged)
        lines = []
        for record, key in self.records[:MOST]:
            n = counted(record, own)
            numbers = (n["re-scored"] + n["re-run"], n["re-run"], n["failed"], n["claimed"])
            lines.append((f"{record.time:%Y-%m-%d}", key or "nobody", *(f"{number:,}" for number in numbers)))
        said = (
            "A record is the word of whoever wrote it, and this page repeats it. A verification of your own compares every record with "
            "what it finds, and fails where one says more; it also checks the signatures."
        )
        return joined(
            plain_table("Recorded verifications of the scored rows", HEADS, lines) if lines else None,
            tag("p", said, class_="caption"),
            tag("ul", (tag("li", name_of(f"refused: {words}")) for words in self.refused)) if self.refused else None,
        )


def _who(key: str) -> str:
    return f"signed with {'' if key.startswith(WORD) else 'key '}{key}" if key else "unsigned"
