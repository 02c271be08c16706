"""Payloads: what goes out comes in, whatever its size, and large arrays are neither copied before nor shared behind."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bench.data.payload import LARGE, Payload


@dataclass
class Held:
    """Something with arrays, as a stage has them."""

    name: str
    large: Any
    small: Any


@pytest.fixture
def held() -> Held:
    rng = np.random.default_rng(0)
    return Held("held", [rng.random(LARGE // 8 + 3), np.asfortranarray(rng.integers(9, size=(700, 900)))], np.arange(5))


def same(one: Held, other: Held) -> bool:
    pairs = zip([*one.large, one.small], [*other.large, other.small], strict=True)
    return one.name == other.name and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def test_large_arrays_lie_beside_the_pickle_and_are_the_senders_own(held: Held) -> None:
    payload = Payload.of(held)
    assert payload.sizes == tuple(a.nbytes for a in held.large)
    assert len(payload.head) < 2000
    assert payload.size == len(payload.head) + sum(payload.sizes)
    assert all(np.shares_memory(np.frombuffer(b, np.uint8), a) for b, a in zip(payload.buffers, held.large, strict=True))


def test_what_is_read_is_the_same_and_may_be_changed_without_harm(held: Held) -> None:
    payload = Payload.of(held)
    first = payload.read()
    assert same(first, held)
    for array in (*first.large, first.small):
        array[:] = 0
    assert same(payload.read(), held)


@pytest.mark.parametrize("what", [None, 0, "x", np.zeros((0, 3)), np.arange(LARGE)[::2], {"a": np.ones(LARGE // 4)}])
def test_anything_goes_through_as_one_piece(what: Any) -> None:
    found = Payload.from_bytes(Payload.of(what).to_bytes()).read()
    assert type(found) is type(what)
    np.testing.assert_equal(found, what)


def test_it_goes_through_a_pipe_that_is_far_smaller_and_is_taken_without_a_copy(held: Held) -> None:
    payload, (out, into) = Payload.of(held), os.pipe()
    sender = threading.Thread(target=payload.send_buffers, args=(into,))
    sender.start()
    came = Payload.receive_buffers(payload.head, payload.sizes, out)
    sender.join()
    os.close(into)
    assert came == payload
    assert came.digest == payload.digest
    taken = came.taken()
    assert same(taken, held)
    assert all(
        a.flags.writeable and np.shares_memory(np.frombuffer(b, np.uint8), a) for b, a in zip(came.buffers, taken.large, strict=True)
    )
    with pytest.raises(EOFError):
        Payload.receive_buffers(payload.head, payload.sizes, out)
    os.close(out)


def test_another_content_has_another_digest(held: Held) -> None:
    one = Payload.of(held).digest
    held.large[0][-1] += 1
    assert Payload.of(held).digest != one
    held.large[0][-1] -= 1
    assert Payload.of(held).digest == one
