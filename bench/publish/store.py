"""Files in a place: a local folder, or whatever fsspec opens; each write is whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from bench.errors import BenchError, ConfigError

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
"""Names of files in a place, `/` between folders: nothing that leads out of it, and no hidden file."""
MOST = 1 << 31
"""Bytes of a file that is read at most."""
SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL", re.IGNORECASE)
"""Environment variables whose values are never shown."""


class PlaceError(BenchError):
    """Refuse a place that cannot be reached or written, or what lies in it."""


class Store(Protocol):
    """What publishing needs of a place; names are those of `NAME`, all errors are `PlaceError`."""

    shown: str
    """The place, for people."""

    def names(self, folder: str) -> list[str]:
        """List the files in a folder, sorted; none where there is no such folder."""

    def tree(self, folder: str) -> list[str]:
        """List all files below a folder, with it in front, sorted."""

    def size(self, name: str) -> int | None:
        """Return a file's bytes; None where there is none."""

    def read(self, name: str, most: int = MOST) -> bytes:
        """Read a file; one that is missing, or larger than `most` bytes, is an error."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file over what is there."""

    def write_new(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one; says whether it did."""

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no error."""

    def change(self, files: Mapping[str, bytes], gone: Collection[str] = ()) -> None:
        """Remove files and write others over what is there, in order; a place that keeps a history makes one step of it."""


class OneByOne:
    """Change the files of a place one after the other."""

    def change(self: Store, files: Mapping[str, bytes], gone: Collection[str] = ()) -> None:
        """Remove files and write others, in order."""
        for name in gone:
            self.remove(name)
        for name, content in files.items():
            self.write(name, content)


def open_store(place: str) -> Store:
    """Open a place; raise `ConfigError` where it is none, or holds a password. Nothing is written."""
    protocol, found, rest = place.partition("://")
    if not place.strip():
        raise ConfigError("the place is empty; give a folder or s3://BUCKET/FOLDER")
    if not found or protocol == "file":
        return Local(Path(rest if found else place).expanduser())
    if protocol == "hf":
        from bench.publish.hub import Hub

        return Hub(rest)
    if "@" in rest.partition("/")[0] or "?" in rest:
        raise ConfigError(f"the place {protocol}://... holds credentials; leave them out and give them by the environment")
    return Remote(place)


def checked(name: str) -> str:
    """Refuse a name that could lead out of the place."""
    if not NAME.fullmatch(name) or len(name) > 400:
        raise PlaceError(f"file name {name[:80]!r} is refused: it is no plain name inside the place")
    return name


def reason_of(error: BaseException) -> str:
    """Format an error in one line, without the values of secret environment variables."""
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    secrets = [value for key, value in os.environ.items() if SECRET.search(key) and len(value) > 3]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text[:400]


def refuse_unreadable(store: Store, name: str, most: int) -> None:
    """Raise `PlaceError` for a file that is not there, or has more than `most` bytes, before any of it is fetched."""
    size = store.size(name)
    if size is None:
        raise PlaceError(f"{store.shown}/{name}: no such file")
    if size > most:
        raise PlaceError(f"{store.shown}/{name}: larger than {most:,} bytes, which is refused")


class Local(OneByOne):
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root, self.shown = root, str(root)
        if root.exists() and not root.is_dir():
            raise ConfigError(f"place {root} is a file; give a folder or s3://BUCKET/FOLDER")

    def names(self, folder: str) -> list[str]:
        """List the files in a folder, sorted."""
        with self._place_errors(folder):
            found = self._path(folder)
            return sorted(f.name for f in found.iterdir() if f.is_file() and NAME.fullmatch(f.name)) if found.is_dir() else []

    def tree(self, folder: str) -> list[str]:
        """List all files below a folder, with it in front."""
        with self._place_errors(folder):
            files = [f.relative_to(self.root).as_posix() for f in self._path(folder).rglob("*") if f.is_file()]
            return sorted(name for name in files if NAME.fullmatch(name))

    def size(self, name: str) -> int | None:
        """Return a file's bytes; None where there is none."""
        path = self._path(name)
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str, most: int = MOST) -> bytes:
        """Read a file."""
        with self._place_errors(name), self._path(name).open("rb") as stream:
            content = stream.read(most + 1)
        if len(content) > most:
            raise PlaceError(f"{self.shown}/{name}: larger than {most:,} bytes, which is refused")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file over what is there."""
        with self._place_errors(name), self._partial(name, content) as partial:
            partial.replace(self._path(name))

    def write_new(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one."""
        with self._place_errors(name), self._partial(name, content) as partial:
            try:
                # a link, unlike a rename, fails where the name is taken
                self._path(name).hardlink_to(partial)
            except FileExistsError:
                return False
            return True

    def remove(self, name: str) -> None:
        """Remove a file."""
        with self._place_errors(name):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        path = self.root / checked(name)
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise PlaceError(f"{self.shown}/{name}: a link that leads out of the place is not followed")
        return path

    @contextlib.contextmanager
    def _partial(self, name: str, content: bytes) -> Iterator[Path]:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
        try:
            with partial.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            yield partial
        finally:
            partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _place_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PlaceError(f"{self.shown}/{name}: {reason_of(error)}") from error


EXTRAS = {"s3": "s3", "s3a": "s3", "hf": "hf"}
"""Protocol of a place -> the extra that brings its library."""


class Remote(OneByOne):
    """A folder that fsspec opens; credentials come from the environment, as its library reads them."""

    def __init__(self, place: str) -> None:
        import fsspec

        self.shown = place.rstrip("/")
        protocol = place.partition("://")[0]
        try:
            # no listing may be older than the question: other publishers write at the same time
            self.fs: Any = fsspec.filesystem(protocol, skip_instance_cache=True, use_listings_cache=False)
        except ImportError as error:
            extra = f"pip install 'seqbench[{EXTRAS[protocol]}]'" if protocol in EXTRAS else reason_of(error)
            raise ConfigError(f"place {self.shown}: its library is not installed: {extra}") from None
        except ValueError as error:
            raise ConfigError(f"place {self.shown}: {reason_of(error)}; give a folder or s3://BUCKET/FOLDER") from None
        self.root = str(self.fs._strip_protocol(self.shown))  # noqa: SLF001 - the library offers no other way

    def names(self, folder: str) -> list[str]:
        """List the files in a folder, sorted."""
        return [name.rpartition("/")[2] for name in self.tree(folder) if name.count("/") == folder.count("/") + 1]

    def tree(self, folder: str) -> list[str]:
        """List all files below a folder, with it in front."""
        with self._place_errors(folder):
            self.fs.invalidate_cache()
            found = self.fs.find(f"{self.root}/{checked(folder)}")
        names = [str(path)[len(self.root) :].lstrip("/") for path in found]
        return sorted(name for name in names if NAME.fullmatch(name) and name != folder)

    def size(self, name: str) -> int | None:
        """Return a file's bytes; None where there is none."""
        with self._place_errors(name):
            try:
                return int(self.fs.info(self._path(name))["size"])
            except FileNotFoundError:
                return None

    def read(self, name: str, most: int = MOST) -> bytes:
        """Read a file."""
        refuse_unreadable(self, name, most)
        with self._place_errors(name):
            return bytes(self.fs.cat_file(self._path(name), end=most))

    def write(self, name: str, content: bytes) -> None:
        """Write a file over what is there."""
        with self._place_errors(name):
            self.fs.pipe_file(self._path(name), content)

    def write_new(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one."""
        with self._place_errors(name):
            try:
                self.fs.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            return True

    def remove(self, name: str) -> None:
        """Remove a file."""
        with self._place_errors(name), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root}/{checked(name)}"

    @contextlib.contextmanager
    def _place_errors(self, name: str) -> Iterator[None]:
        """Turn whatever a library raises into one line; its own words may hold a key, so nothing of it is passed on."""
        try:
            yield
        except BenchError:
            raise
        except Exception as error:  # noqa: BLE001 - each library has its own errors, and what they say must be cleaned
            raise PlaceError(f"{self.shown}/{name}: {reason_of(error)}; check the place and the credentials in the environment") from None
