"""Publishing to S3: moto's server, spoken to over HTTP, with failures in the middle."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto.server", reason="needs moto: pip install 'moto[server]'")
pytest.importorskip("s3fs", reason="needs s3fs: pip install 'seqbench[s3]'")

from publish.kit import rows_of, run_of, tree, variant

import bench
from bench.cli import invoke
from bench.publish.publish import publish, rebuild, retract
from bench.publish.store import PlaceError, Remote, open_store
from bench.publish.verify import verify
from bench.registry import discover

KEY, SECRET = "AKIA-TEST-KEY", "a-secret-that-must-not-show"
TO = "s3://shelf/board"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start an S3 server on a free port."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def shelf(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give an empty bucket, with the credentials in the environment."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_ENDPOINT_URL", server), ("AWS_DEFAULT_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset", method="POST")).close()
    Remote("s3://shelf").fs.mkdir("shelf")
    return TO


def stored(place: str) -> dict[str, bytes]:
    """Read every object below a place."""
    store = Remote(place)
    return {str(path)[len(store.root) + 1 :]: bytes(store.fs.cat_file(path)) for path in store.fs.find(store.root)}


def test_a_place_on_s3_holds_the_same_bytes_as_a_folder(made: Path, place: Path, shelf: str) -> None:
    assert publish(made, shelf).new
    assert not publish(made, shelf).new
    assert stored(shelf) == tree(place)


def test_a_place_on_s3_is_verified(made: Path, shelf: str, capsys: pytest.CaptureFixture[str]) -> None:
    publish(made, shelf)
    assert invoke(["verify", shelf, "--json"]) == 0
    assert {row["level"] for row in json.loads(capsys.readouterr().out)["rows"]} == {"re-scored"}
    store = open_store(shelf)
    (name,) = (name for name in store.tree("runs") if name.endswith("rows.parquet"))
    store.write(name, store.read(name) + b"x")
    assert any(words.startswith(f"{name}: has changed") for words in verify(shelf, discover()).failures)


def test_a_commit_on_s3_is_written_once(shelf: str) -> None:
    store = open_store(shelf)
    assert store.write_new("commits/a.json", b"first")
    assert not store.write_new("commits/a.json", b"second")
    assert store.read("commits/a.json") == b"first"
    assert store.names("commits") == ["a.json"]
    assert store.names("nothing") == []


def test_retracting_on_s3_keeps_the_history(made: Path, shelf: str) -> None:
    done = publish(made, shelf)
    retract(done.run, shelf, "wrong data")
    with pytest.raises(PlaceError, match=r"retracted already, .*wrong data.*; the first reason stands"):
        retract(done.run, shelf, "another reason")
    assert f"runs/{done.run}/rows.parquet" in stored(shelf)


class Broken:
    """Fail at the n-th write, as a connection that breaks does."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, store: Remote, name: str, content: bytes, **_: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(f"connection of {SECRET} reset")
        store.fs.pipe_file(store._path(name), content)


@pytest.mark.parametrize("at", [3, 20])
def test_a_failure_in_the_middle_leaves_no_half_run_and_the_next_try_mends_it(
    made: Path, shelf: str, tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = variant(made, tmp_path / "b", lambda row: {**row, "dataset": "other"})
    publish(made, shelf)
    broken = Broken(at)
    with monkeypatch.context() as patch:

        def write(store: Remote, name: str, content: bytes) -> None:
            with store._place_errors(name):
                broken(store, name, content)

        patch.setattr(Remote, "write", write)
        assert invoke(["publish", str(other), "--to", shelf]) == 2
    error = capsys.readouterr().err
    assert "connection of *** reset" in error
    assert SECRET not in error
    board = {name.partition("/")[2] for name in stored(shelf) if name.startswith("commits/")}
    whole = verify(shelf, discover())
    # the run is there as a whole or not at all; the board may be that of before, which is said with the cure
    assert all("bench publish --rebuild" in words for words in whole.failures), whole.failures
    assert len(whole.lines) == len(board) * len(rows_of(made))
    publish(other, shelf)
    mended = verify(shelf, discover())
    assert mended.failures == []
    assert len(mended.lines) == 2 * len(rows_of(made))


def test_a_server_that_is_gone_ends_in_one_line_without_credentials(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert invoke(["publish", str(made), "--to", TO]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: s3://shelf/board/commits: ")
    assert error.count("\n") == 1
    assert SECRET not in error
    assert KEY not in error


def test_without_credentials_the_line_says_where_they_come_from(
    made: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    assert invoke(["publish", str(made), "--to", TO]) == 2
    assert "check the place and the credentials in the environment" in capsys.readouterr().err


def test_no_credential_is_stored_in_the_place(made: Path, shelf: str) -> None:
    publish(made, shelf)
    rebuild(shelf)
    whole = b"".join(stored(shelf).values())
    assert SECRET.encode() not in whole
    assert KEY.encode() not in whole


def test_a_bucket_that_does_not_exist_is_named(made: Path, shelf: str) -> None:
    with pytest.raises(bench.BenchError, match=r"s3://no-such-bucket/board"):
        publish(made, "s3://no-such-bucket/board")
    assert stored(shelf) == {}


def test_a_folder_and_s3_give_the_same_run_the_same_id(made: Path, place: Path, shelf: str) -> None:
    assert publish(made, shelf).run == run_of(place)
