"""Objects on their way to another process: a pickle, with its large arrays beside it instead of copied into it.

A log of a hundred million events is gigabytes of arrays: copied into a pickle, kept as one, copied out of it, they would
lie in memory five times.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

LARGE = 1 << 20
"""Bytes from which on an array stays where it is."""


@dataclass(frozen=True)
class Payload:
    """A pickled object; whoever makes one leaves the object's arrays unchanged."""

    head: bytes
    """The pickle (protocol 5)."""
    buffers: tuple[memoryview, ...] = ()
    """The bytes of large arrays, in order; those of the sender's own, not a copy."""

    @classmethod
    def of(cls, content: object) -> Payload:
        """Pickle an object."""
        beside: list[memoryview] = []

        def within(buffer: pickle.PickleBuffer) -> bool:
            """Leave a large array beside the pickle; return whether this one goes into it."""
            raw = buffer.raw()
            if raw.nbytes < LARGE:
                return True
            beside.append(raw)
            return False

        head = pickle.dumps(content, protocol=5, buffer_callback=within)
        return cls(head, tuple(beside))

    @property
    def size(self) -> int:
        """Return its bytes."""
        return len(self.head) + sum(b.nbytes for b in self.buffers)

    @cached_property
    def digest(self) -> bytes:
        """Return the sha256 of its content."""
        digest = hashlib.sha256(self.head)
        for buffer in self.buffers:
            digest.update(buffer)
        return digest.digest()

    def read(self) -> Any:
        """Make the object anew; nothing that is done to it reaches another one made so."""
        return pickle.loads(self.head, buffers=[bytearray(b) for b in self.buffers])  # noqa: S301 - made by this project's own supervisor

    def taken(self) -> Any:
        """Make the object of these very bytes, the one time that it is needed: nothing is copied."""
        return pickle.loads(self.head, buffers=self.buffers)  # noqa: S301 - as above

    def to_bytes(self) -> bytes:
        """Put all in one piece, for a way that carries nothing else."""
        return pickle.dumps((self.head, [bytes(b) for b in self.buffers]), protocol=5)

    @classmethod
    def from_bytes(cls, whole: bytes) -> Payload:
        """Read what `to_bytes` made."""
        head, buffers = pickle.loads(whole)  # noqa: S301 - as above
        return cls(head, tuple(map(memoryview, buffers)))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the bytes of each array beside the pickle."""
        return tuple(b.nbytes for b in self.buffers)

    def send_buffers(self, descriptor: int) -> None:
        """Write the arrays to a pipe, without a copy; the head and `sizes` go before, by another way."""
        for buffer in self.buffers:
            at, raw = 0, buffer.cast("B")
            while at < raw.nbytes:
                at += os.write(descriptor, raw[at : at + (1 << 24)])

    @classmethod
    def receive_buffers(cls, head: bytes, sizes: Sequence[int], descriptor: int) -> Payload:
        """Read the arrays from a pipe into memory of their own; raise `EOFError` where it ends before."""
        buffers = []
        for size in sizes:
            view, at = memoryview(bytearray(size)), 0
            while at < size:
                if not (read := os.readv(descriptor, [view[at:]])):
                    raise EOFError
                at += read
            buffers.append(view)
        return cls(head, tuple(buffers))
