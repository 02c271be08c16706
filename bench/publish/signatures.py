"""Signatures that lie in a place, of commits and of records, by SSH keys and by Sigstore."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.publish import bounded, signing, sigstore_bundles
from bench.publish.place import SMALL
from bench.publish.signers import WORD, Signers
from bench.publish.store import PlaceError, Store

FOLDER = "signatures"
SSH = ".sig"
BUNDLE = ".sigstore.json"
MOST = {SSH: signing.MOST, BUNDLE: bounded.MOST_BUNDLE}
"""Suffix of a signature, behind the name of what is signed -> bytes at most; each is checked, and none stands for the other."""


@dataclass(frozen=True)
class Signing:
    """A way to sign that is ready."""

    suffix: str
    sign: Callable[[bytes], bytes]


def opened(key: str | Path, *, trial: bool = False) -> Signing:
    """Make ready to sign with an SSH key, or by the word `sigstore`; `trial`: a key that cannot sign is found at once."""
    if key == WORD:
        return Signing(BUNDLE, sigstore_bundles.opened())
    if trial:
        signing.sign(b"", Path(key))
    return Signing(SSH, partial(signing.sign, key=Path(key)))


def there(store: Store) -> Collection[str]:
    """List the signatures of a place, by the names of their files."""
    return frozenset(store.names(FOLDER))


def is_signed(name: str, found: Collection[str]) -> bool:
    """Look for any signature of a run or a record."""
    return any(f"{name}{suffix}" in found for suffix in MOST)


def check(store: Store, found: Collection[str], file: str, allowed: Signers | None, shown: str) -> tuple[list[str], list[str]]:
    """Check every signature of a file: return who signed it, and what is wrong.

    With a list of signers, a file that nobody signed is wrong too. Raises `ConfigError` where a signature cannot be checked here.
    """
    name = Path(file).stem
    notes: list[str] = []
    faults = [f"{shown}: nobody has signed it"] if allowed and not is_signed(name, found) else []
    for suffix, most in MOST.items():
        if f"{name}{suffix}" not in found:
            continue
        what = f"{FOLDER}/{name}{suffix}"
        signer = signing.signer if suffix == SSH else sigstore_bundles.signer
        try:
            notes.append(f"{shown}: signed by {signer(store.read(file, SMALL), store.read(what, most), allowed, what)}")
        except PlaceError as error:
            faults.append(str(error))
    return notes, faults


def claimed(store: Store, name: str, found: Collection[str]) -> str:
    """Name the keys and log entries that signatures say they are of; they are not checked here. Empty: there is none."""
    said = []
    for suffix, most in MOST.items():
        what = f"{FOLDER}/{name}{suffix}"
        size = store.size(what) if f"{name}{suffix}" in found else None
        if size is not None and size <= most:
            reader = signing.claimed_key if suffix == SSH else sigstore_bundles.claimed_entry
            said.append(reader(store.read(what, most)))
    return "; ".join(filter(None, said))
