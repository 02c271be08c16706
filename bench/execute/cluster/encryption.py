"""Encrypt what travels between supervisor and agents: Ray keeps large messages in shared memory, which plugins might read."""

from __future__ import annotations

import os
import pickle
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12
"""Bytes; drawn anew for each piece (NIST SP 800-38D)."""
PIECE = 1 << 30
"""Bytes that are encrypted at once, at most: the cipher takes less than 2 GiB."""


class Cipher:
    """Encrypt and authenticate objects with one key of the run (AES-256-GCM)."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    @staticmethod
    def new_key() -> bytes:
        """Draw a key."""
        return AESGCM.generate_key(bit_length=256)

    def encrypt(self, message: Any, use: str) -> list[bytes]:
        """Pickle and encrypt; `use` must be the same to decrypt: an answer cannot be passed off as an order."""
        plain = memoryview(pickle.dumps(message, protocol=5))
        pieces = []
        for at in range(0, len(plain), PIECE):
            nonce = os.urandom(NONCE)
            pieces.append(nonce + self._aead.encrypt(nonce, plain[at : at + PIECE], _about(use, at, len(plain))))
        return pieces

    def decrypt(self, pieces: list[bytes], use: str) -> Any:
        """Decrypt and unpickle; raise `cryptography.exceptions.InvalidTag` where it was not encrypted with this key and use."""
        size = sum(len(piece) for piece in pieces) - len(pieces) * (NONCE + 16)
        plain = [self._aead.decrypt(piece[:NONCE], piece[NONCE:], _about(use, at * PIECE, size)) for at, piece in enumerate(pieces)]
        return pickle.loads(b"".join(plain))  # noqa: S301 - authenticated: made by our own supervisor or agent


def _about(use: str, at: int, size: int) -> bytes:
    """Bind a piece to its use and its place."""
    return f"{use}/{at}/{size}".encode()
