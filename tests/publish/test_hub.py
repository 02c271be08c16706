"""Publishing to Hugging Face, with a client that keeps the repositories in memory and has the real one's signatures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest

pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install 'seqbench[hf]'")

import huggingface_hub
from huggingface_hub import CommitOperationDelete, RepoFile
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError
from publish.kit import tree

from bench.cli import invoke
from bench.errors import ConfigError
from bench.publish import hub as ours
from bench.publish.publish import publish, rebuild, retract
from bench.publish.store import PlaceError, open_store
from bench.publish.verify import verify
from bench.registry import discover

TO = "hf://shop/results"


class Repositories:
    """Data sets and Spaces by name, as the Hub's API shows them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, dict[str, bytes]] = {}
        self.commits: list[tuple[str, int]] = []
        self.rivals = 0
        """Commits of others that come just before one of ours."""

    def _of(self, kind: str | None) -> dict[str, bytes]:
        if kind not in self.files:
            raise missing(RepositoryNotFoundError, 404)
        return self.files[kind]

    def create_repo(self, repo_id: str, *, repo_type: str, exist_ok: bool, space_sdk: str | None = None) -> None:
        assert repo_id == "shop/results"
        assert (space_sdk == "static") == (repo_type == "space")
        self.files.setdefault(repo_type, {})

    def repo_info(self, repo_id: str, *, repo_type: str) -> Any:
        self._of(repo_type)
        return SimpleNamespace(sha=str(len(self.commits)))

    def list_repo_tree(self, repo_id: str, path_in_repo: str | None = None, *, recursive: bool, repo_type: str) -> Any:
        found = [name for name in self._of(repo_type) if not path_in_repo or name.startswith(f"{path_in_repo}/")]
        if path_in_repo and not found:
            raise missing(EntryNotFoundError, 404)
        return [RepoFile(path=name, size=len(self.files[repo_type][name]), oid="0", type="file") for name in found]

    def get_paths_info(self, repo_id: str, paths: list[str], *, repo_type: str) -> Any:
        own = self._of(repo_type)
        return [RepoFile(path=name, size=len(own[name]), oid="0", type="file") for name in paths if name in own]

    def hf_hub_download(self, repo_id: str, filename: str, *, repo_type: str) -> str:
        file = self.folder / repo_type / filename
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self._of(repo_type)[filename])
        return str(file)

    def create_commit(
        self, repo_id: str, operations: Any, *, commit_message: str, repo_type: str, parent_commit: str | None = None
    ) -> None:
        if parent_commit is not None and self.rivals:
            self.rivals -= 1
            self.commits.append(("rival", 1))
        if parent_commit not in {None, str(len(self.commits))}:
            raise missing(HfHubHTTPError, 412)
        own = self._of(repo_type)
        operations = list(operations)
        for operation in operations:
            if isinstance(operation, CommitOperationDelete):
                del own[operation.path_in_repo]
            else:
                own[operation.path_in_repo] = operation.path_or_fileobj
        self.commits.append((repo_type, len(operations)))


def missing(kind: type[Exception], status: int) -> Exception:
    error = kind.__new__(kind)
    error.args, error.response = (f"status {status}",), SimpleNamespace(status_code=status, headers={})
    return error


@pytest.fixture
def repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repositories:
    kept = Repositories(tmp_path / "downloads")
    api = create_autospec(huggingface_hub.HfApi, instance=True)
    for name in ("create_repo", "repo_info", "list_repo_tree", "get_paths_info", "hf_hub_download", "create_commit"):
        getattr(api, name).side_effect = getattr(kept, name)
    monkeypatch.setattr(ours, "client", lambda: api)
    return kept


def test_a_place_on_the_hub_holds_the_same_bytes_as_a_folder_and_the_space_its_site(made, place, repositories):
    assert publish(made, TO).new
    stored = dict(repositories.files["dataset"])
    assert stored.pop("README.md").startswith(b"---")
    # pages name the place that they lie in nowhere: the bytes are those of a folder
    assert stored == tree(place)
    space = dict(repositories.files["space"])
    assert b"sdk: static" in space.pop("README.md")
    assert space == {name: content for name, content in stored.items() if not name.startswith(ours.RECORDS)}
    assert space["index.html"]


def test_publishing_takes_few_commits(made, repositories):
    publish(made, TO)
    assert len(repositories.commits) <= 8


@pytest.mark.usefixtures("repositories")
def test_what_was_published_is_verified_and_the_same_run_again_sends_nothing(made):
    publish(made, TO)
    assert verify(TO, discover()).failures == []
    assert not publish(made, TO).new


def test_a_retraction_takes_the_site_off_the_space_too(made, repositories):
    run = publish(made, TO).run
    retract(run, TO, "wrong file")
    assert not [name for kind in ("dataset", "space") for name in repositories.files[kind] if name.startswith("site/")]
    assert f"retractions/{run}.json" in repositories.files["dataset"]
    assert rebuild(TO).board == 0


def test_a_commit_that_another_came_before_is_made_again(made, repositories):
    repositories.rivals = 2
    run = publish(made, TO).run
    assert f"commits/{run}.json" in repositories.files["dataset"]
    assert repositories.rivals == 0


@pytest.mark.usefixtures("repositories")
def test_a_file_is_written_once_only():
    store = open_store(TO)
    assert store.write_new("commits/a.json", b"1")
    assert not store.write_new("commits/a.json", b"2")
    assert store.read("commits/a.json") == b"1"
    with pytest.raises(PlaceError, match="no such file"):
        store.read("commits/b.json")


def test_a_place_that_is_no_repository_and_an_error_of_the_hub_are_one_line(made, repositories, monkeypatch, capsys):
    with pytest.raises(ConfigError, match="hf://OWNER/NAME"):
        open_store("hf://shop")
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    monkeypatch.setattr(repositories, "_of", lambda _: (_ for _ in ()).throw(ValueError("token hf_secretsecret refused")))
    assert invoke(["publish", str(made), "--to", TO]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "hf_secretsecret" not in said
    assert "HF_TOKEN" in said
