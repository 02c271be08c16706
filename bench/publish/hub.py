"""A place on Hugging Face: a data set repository with all of it, and a static Space that shows the site.

Each change is one commit, since the Hub allows a hundred or so an hour. Credentials come from the environment (`HF_TOKEN`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, ConfigError
from bench.publish.store import MOST, NAME, PlaceError, checked, reason_of, refuse_unreadable

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RECORDS = ("runs/", "commits/", "retractions/", "signatures/", "verifications/")
"""What is published; all else is derived from it and shown by the Space."""
TIMES = 5
"""Attempts of a commit that another publisher may come before."""
MOVED = 412
"""Status of a commit whose parent is no longer the newest."""
CARD = """---
pretty_name: Results of bench
tags: [benchmark, churn, time-series, anomaly-detection]
configs:
- config_name: board
  data_files: board.parquet
---
Results published by `bench`: rows, parameters and predictions under opaque ids. `bench verify hf://{name}` checks them.
"""
SPACE = """---
title: {title}
sdk: static
app_file: index.html
---
The site of the data set {name}, made by `bench publish`.
"""


def client() -> HfApi:
    """Return the library's client; raise `ConfigError` where it is not installed."""
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ConfigError("hf:// needs huggingface_hub; pip install 'seqbench[hf]'") from None
    return HfApi()


class Hub:
    """A data set repository and its Space."""

    def __init__(self, place: str) -> None:
        name = place.removeprefix("datasets/").rstrip("/")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise ConfigError(f"place hf://{place}: write hf://OWNER/NAME")
        self.repo, self.shown, self.api = name, f"hf://{name}", client()

    def names(self, folder: str) -> list[str]:
        """List the files in a folder, sorted."""
        return [name.rpartition("/")[2] for name in self.tree(folder) if name.count("/") == folder.count("/") + 1]

    def tree(self, folder: str) -> list[str]:
        """List all files below a folder, with it in front; none where there is no such folder or repository yet."""
        return sorted(name for name in self._tree(checked(folder), "dataset") if NAME.fullmatch(name))

    def size(self, name: str) -> int | None:
        """Return a file's bytes; None where there is none."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._place_errors(name):
            try:
                found = self.api.get_paths_info(self.repo, [checked(name)], repo_type="dataset")
            except RepositoryNotFoundError:
                return None
        return next((int(size) for one in found if (size := getattr(one, "size", None)) is not None), None)

    def read(self, name: str, most: int = MOST) -> bytes:
        """Read a file."""
        refuse_unreadable(self, name, most)
        with self._place_errors(name):
            return Path(str(self.api.hf_hub_download(self.repo, checked(name), repo_type="dataset"))).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a file over what is there."""
        self.change({name: content})

    def write_new(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one: on top of the newest commit, or not at all."""
        from huggingface_hub import CommitOperationAdd
        from huggingface_hub.errors import HfHubHTTPError

        self._create_missing()
        with self._place_errors(name):
            for _ in range(TIMES):
                head = self.api.repo_info(self.repo, repo_type="dataset").sha
                if self.size(name) is not None:
                    return False
                added = [CommitOperationAdd(checked(name), content)]
                try:
                    self.api.create_commit(self.repo, added, commit_message=f"Add {name}", repo_type="dataset", parent_commit=head)
                except HfHubHTTPError as error:
                    if error.response is None or error.response.status_code != MOVED:
                        raise
                else:
                    return True
        raise PlaceError(f"{self.shown}/{name}: others publish here without a pause; give the command again")

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.change({}, [name])

    def change(self, files: Mapping[str, bytes], gone: Collection[str] = ()) -> None:
        """Remove files and write others in one commit, and those of the site in one commit of the Space."""
        self._create_missing()
        self._commit("dataset", files, gone)
        shown = {name: content for name, content in files.items() if not name.startswith(RECORDS)}
        self._commit("space", shown, [name for name in gone if not name.startswith(RECORDS)])

    def _commit(self, kind: str, files: Mapping[str, bytes], gone: Collection[str]) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        there = set(self._tree("", kind)) if gone else set()
        operations: list[Any] = [CommitOperationDelete(checked(name)) for name in gone if name in there]
        operations += [CommitOperationAdd(checked(name), content) for name, content in files.items()]
        if operations:
            with self._place_errors(kind):
                self.api.create_commit(self.repo, operations, commit_message="Results of bench", repo_type=kind)

    def _create_missing(self) -> None:
        """Create both repositories where they are missing, each with the page that the Hub shows of it."""
        from huggingface_hub import CommitOperationAdd
        from huggingface_hub.errors import RepositoryNotFoundError

        title = self.repo.partition("/")[2]
        for kind, sdk, page in (("dataset", None, CARD), ("space", "static", SPACE)):
            with self._place_errors(kind):
                try:
                    self.api.repo_info(self.repo, repo_type=kind)
                except RepositoryNotFoundError:
                    self.api.create_repo(self.repo, repo_type=kind, exist_ok=True, space_sdk=sdk)
                    text = page.format(name=self.repo, title=title)
                    operations = [CommitOperationAdd("README.md", text.encode())]
                    self.api.create_commit(self.repo, operations, commit_message="Describe it", repo_type=kind)

    def _tree(self, folder: str, kind: str) -> list[str]:
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

        with self._place_errors(folder):
            try:
                found = list(self.api.list_repo_tree(self.repo, folder or None, recursive=True, repo_type=kind))
            except (EntryNotFoundError, RepositoryNotFoundError):
                return []
        return [one.path for one in found if isinstance(one, RepoFile)]

    @contextlib.contextmanager
    def _place_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except BenchError:
            raise
        except Exception as error:  # noqa: BLE001 - the library has errors of several others, and what they say must be cleaned
            raise PlaceError(f"{self.shown} ({what}): {reason_of(error)}; check the place and HF_TOKEN in the environment") from None
