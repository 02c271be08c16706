"""Link commits to those before them: whoever keeps a head can tell when a run, or a whole line of runs, was taken away.

Each commit names the digests of the commits that nobody had named before it. Two that came at the same time are named
together by the next one. The place's head is what nobody names yet: as long as it is found again, all before it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from bench.publish import untrusted
from bench.publish.place import SMALL
from bench.publish.store import PlaceError, Store


def digest(content: bytes) -> str:
    """Return the digest by which a commit is named."""
    return hashlib.sha256(content).hexdigest()[:32]


def heads(store: Store, committed: Sequence[str]) -> list[str]:
    """List the digests of the commits that no other one names, sorted."""
    contents = [store.read(f"commits/{run}.json", SMALL) for run in committed]
    named = {before for content in contents for before in _before(content, "commits")}
    return sorted({digest(content) for content in contents} - named)


def broken(store: Store, committed: Sequence[str], kept: Sequence[str]) -> Iterator[str]:
    """Name the links that lead to no commit, and the heads that somebody kept and are gone."""
    known: dict[str, str] = {}
    links: Mapping[str, list[str]] = {}
    for run in committed:
        what = f"commits/{run}.json"
        try:
            content = store.read(what, SMALL)
            known[digest(content)] = run
            links = {**links, run: _before(content, what)}
        except PlaceError as error:
            yield str(error)
    for run, before in links.items():
        gone = [name for name in before if name not in known]
        yield from (f"commits/{run}.json: names an earlier commit {name}, which is gone or has changed" for name in gone)
    yield from (
        f"head {name[:32]!r} is gone: what was published up to it has been changed or removed" for name in kept if name not in known
    )


def _before(content: bytes, what: str) -> list[str]:
    found = untrusted.document(content, what).get("after", [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise PlaceError(f"{what}: its list of earlier commits is none")
    return found
