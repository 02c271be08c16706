"""Sort ratings as packed numbers: user, time, rating and item of one rating fit into one 64-bit word, or into two.

Sorting such words is many times faster than sorting a table, and a repeated rating is a repeated word. Users and items
are packed as their ranks among the ids *as texts*: the order of the words is the order that the event log is kept in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from bench.api import Array
from bench.data.events import TIME

STEP = 1 << 22
"""Rows that are unpacked at once: bounds what is needed beside the words and the result."""
DIRECT = 1 << 26
"""Below this highest id, ranks are looked up by id, else by bisection."""
HALF_BITS, WORD = 4, 64


@dataclass(frozen=True)
class Ids:
    """The ids that occur: `numbers` sorted, int [n]; `rank` of each as text, uint32 [n]; `texts` in their order."""

    numbers: Array
    rank: Array
    texts: pl.Series

    @classmethod
    def of(cls, chunks: Sequence[pl.DataFrame], name: str) -> Ids:
        """Collect the ids of one column."""
        numbers = _distinct_ids([chunk[name].to_numpy() for chunk in chunks])
        texts = pl.Series(numbers).cast(pl.String)
        return cls(numbers, (texts.rank("ordinal") - 1).cast(pl.UInt32).to_numpy(), texts.sort())

    def ranks(self, ids: Array) -> Array:
        """Return the rank of each id, uint32 [E]."""
        highest = int(self.numbers[-1])
        if highest >= DIRECT:
            return self.rank[np.searchsorted(self.numbers, ids)]
        table = np.zeros(highest + 1, np.uint32)
        table[self.numbers] = self.rank
        return table[ids]


def _distinct_ids(parts: Sequence[Array]) -> Array:
    """Return the distinct ids, sorted, [n]: by marking each where they are small numbers, else by sorting."""
    highest = max(int(part.max()) for part in parts)
    if highest >= DIRECT:
        return np.unique(np.concatenate([np.unique(part) for part in parts]))
    seen = np.zeros(highest + 1, bool)
    for part in parts:
        seen[part] = True
    return np.flatnonzero(seen)


@dataclass(frozen=True)
class Field:
    """Describe where a number lies: in which word, how far from its low end, how many bits."""

    word: int
    shift: int
    bits: int


def layout(bits: Sequence[int]) -> tuple[Field, ...]:
    """Place (user, time, half, item) of so many bits each, the first highest: in one word, else two fields a word."""
    if sum(bits) <= WORD:
        return tuple(Field(0, sum(bits[i + 1 :]), b) for i, b in enumerate(bits))
    user, time, half, item = bits
    return Field(0, time, user), Field(0, 0, time), Field(1, item, half), Field(1, 0, item)


def sorted_frame(chunks: list[pl.DataFrame], day: int) -> tuple[pl.DataFrame, int]:
    """Sort by user, time, rating and item; give the event frame and the number of repeated rows dropped from it.

    `chunks` is emptied on the way. `day`: microseconds in a unit of `time`.
    """
    users, items = Ids.of(chunks, "user"), Ids.of(chunks, "item")
    first = min(int(c["time"].min()) for c in chunks)  # type: ignore[arg-type]
    last = max(int(c["time"].max()) for c in chunks)  # type: ignore[arg-type]
    fields = layout([(n - 1).bit_length() for n in (len(users.texts), last - first + 1)] + [HALF_BITS, (len(items.texts) - 1).bit_length()])
    words = _sorted(_packed(chunks, fields, users, items, first))
    read = len(words[0])
    words = _distinct(words)
    user, time, half, item = fields
    columns = {
        "user": _named(_unpacked(words, user, np.uint32), users),
        "time": _unpacked(words, time, np.int64, day, first * day).cast(TIME),
        "kind": pl.Series(["rating"], dtype=pl.Enum(["rating"])).new_from_index(0, len(words[0])),
        "value": _unpacked(words, half, np.float64, 0.5),
        "item": _named(_unpacked(words, item, np.uint32), items),
    }
    return pl.DataFrame(columns), read - len(words[0])


def _named(ranks: pl.Series, ids: Ids) -> pl.Series:
    """Turn ranks into categories, [E]."""
    return ids.texts.cast(pl.Enum(ids.texts)).gather(ranks)


def _packed(chunks: list[pl.DataFrame], fields: Sequence[Field], users: Ids, items: Ids, first: int) -> list[Array]:
    """Pack all ratings, uint64 [E] for each word; a chunk is let go of when it is packed."""
    words = [np.zeros(sum(map(len, chunks)), np.uint64) for _ in range(fields[-1].word + 1)]
    at = 0
    while chunks:
        chunk = chunks.pop()
        time = chunk["time"].cast(pl.Int64).to_numpy() - first
        numbers = (users.ranks(chunk["user"].to_numpy()), time, chunk["half"].to_numpy(), items.ranks(chunk["item"].to_numpy()))
        for number, field in zip(numbers, fields, strict=True):
            words[field.word][at : at + len(chunk)] |= number.astype(np.uint64) << np.uint64(field.shift)
        at += len(chunk)
    return words


def _sorted(words: list[Array]) -> list[Array]:
    if len(words) == 1:
        words[0].sort()
        return words
    ordered = pl.DataFrame({"high": words[0], "low": words[1]}).sort("high", "low")
    return [ordered[name].to_numpy() for name in ordered.columns]


def _distinct(words: list[Array]) -> list[Array]:
    new = np.zeros(len(words[0]), bool)
    new[:1] = True
    for word in words:
        new[1:] |= word[1:] != word[:-1]
    return words if new.all() else [word[new] for word in words]


def _unpacked(words: list[Array], field: Field, kind: type[np.generic], scale: float = 1, base: int = 0) -> pl.Series:
    """Take a field out of the words: number * scale + base, [E]."""
    word = words[field.word]
    column = np.empty(len(word), kind)
    mask = np.uint64((1 << field.bits) - 1)
    for start in range(0, len(word), STEP):
        column[start : start + STEP] = ((word[start : start + STEP] >> np.uint64(field.shift)) & mask).astype(kind) * scale + base
    return pl.Series(column)
