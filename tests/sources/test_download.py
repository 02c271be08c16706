"""Downloads come whole and checked, or not at all, and say in one line what went wrong."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from bench.errors import ConfigError, DataError
from bench.sources.download import BY_HAND, DOWNLOADS, UNKNOWN, Download, File, download_named, downloads_folder, fetch

LOG = b"user,time\n" + b"a,2024-01-01\n" * 20_000


def packed(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), data)
    return content.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Serve the log whole, cut short, as archives, or not at all."""

    pages: ClassVar[dict[str, bytes]] = {
        "/log.csv": LOG,
        "/short.csv": LOG,
        "/log.zip": packed(inner__log_csv=LOG),
        "/bad.zip": b"PK no archive",
    }
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = self.pages.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/short.csv" else body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


class Bar:
    """Count what a progress bar is told."""

    def __init__(self) -> None:
        self.total: int | None = 0
        self.seen = 0

    def start(self, total: int | None) -> None:
        self.total = total

    def update(self, n: int) -> None:
        self.seen += n


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_with_the_right_checksum_comes_whole_with_progress(server: str, tmp_path: Path) -> None:
    bar = Bar()
    digests = fetch(Download("events", (File(f"{server}/log.csv", sha256(LOG)),), "-", "log.csv"), tmp_path / "log", bar)
    assert digests == [sha256(LOG)]
    assert (tmp_path / "log" / "log.csv").read_bytes() == LOG
    assert [p.name for p in tmp_path.iterdir()] == ["log"]
    assert bar.total == bar.seen == len(LOG)


def test_an_archive_is_unpacked_and_not_kept(server: str, tmp_path: Path) -> None:
    fetch(Download("events", (File(f"{server}/log.zip"),), "-", "inner/log.csv"), tmp_path / "log")
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*")) if p.is_file()] == ["log/inner/log.csv"]


def test_what_is_there_is_not_downloaded_again(server: str, tmp_path: Path) -> None:
    download = Download("events", (File(f"{server}/log.csv"),), "-", "log.csv")
    assert fetch(download, tmp_path / "log") == [sha256(LOG)]
    assert fetch(download, tmp_path / "log") == []
    assert Handler.asked == ["/log.csv"]


@pytest.mark.parametrize(
    ("page", "checksum", "inside", "words"),
    [
        ("short.csv", UNKNOWN, "", "the connection broke before the file was whole"),
        ("short.csv", sha256(LOG), "", "the connection broke before the file was whole"),
        ("log.csv", "0" * 64, "", f"expected {'0' * 64} but got {sha256(LOG)}"),
        ("gone.csv", UNKNOWN, "", "the server answers 404 Not Found"),
        ("bad.zip", UNKNOWN, "", "what came is no archive that can be unpacked"),
        ("log.zip", UNKNOWN, "other.csv", "holds no 'other.csv': it has changed"),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_nothing(
    server: str, tmp_path: Path, page: str, checksum: str, inside: str, words: str
) -> None:
    download = Download("events", (File(f"{server}/log.csv"), File(f"{server}/{page}", checksum)), "-", inside)
    with pytest.raises(DataError) as error:
        fetch(download, tmp_path / "to" / "log")
    assert words in str(error.value)
    assert "127.0.0.1" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert list((tmp_path / "to").iterdir()) == []


def test_a_server_that_is_not_there_and_a_folder_that_cannot_be_written_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    download = Download("events", (File("http://127.0.0.1:9/log.csv"),), "-")
    with pytest.raises(DataError, match="the server cannot be reached; check the connection"):
        fetch(download, tmp_path / "log")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write to .*give a folder with --to"):
        fetch(download, tmp_path / "file" / "log")


def test_an_archive_cannot_write_outside_its_folder(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Handler.pages, "/log.zip", packed(**{"..__..__evil_csv": LOG, "log_csv": LOG}))
    fetch(Download("events", (File(f"{server}/log.zip"),), "-"), tmp_path / "to" / "log")
    assert [p.name for p in tmp_path.iterdir()] == ["to"]
    assert [p.name for p in (tmp_path / "to").iterdir()] == ["log"]


def test_the_table_names_adapters_https_addresses_and_honest_checksums() -> None:
    for name, download in DOWNLOADS.items():
        assert name not in BY_HAND
        assert download.adapter in {"retail", "netflix", "social", "series"}
        assert download.licence
        for file in download.files:
            assert file.url.startswith("https://")
            assert file.sha256 == UNKNOWN or (len(file.sha256) == 64 and int(file.sha256, 16))


def test_known_checksums_are_those_of_the_real_files(real: Path) -> None:
    known = {f.name: f.sha256 for d in DOWNLOADS.values() for f in d.files if f.sha256 != UNKNOWN}
    found = {p.name: sha256(p.read_bytes()) for p in real.rglob("*") if p.name in known}
    assert found == known


def test_what_may_not_be_passed_on_says_what_to_add_by_hand_and_why() -> None:
    with pytest.raises(ConfigError, match=r"forbid passing its ratings on.*bench data add netflix-prize FOLDER --adapter netflix"):
        download_named("netflix-prize")
    with pytest.raises(ConfigError, match="no data set 'm4-horly' to download; did you mean 'm4-hourly'"):
        download_named("m4-horly")
    assert downloads_folder().name == "downloads"
