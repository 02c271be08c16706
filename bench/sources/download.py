"""Download public data sets: with a checksum where one is known, whole or not at all, and registered under their names."""

from __future__ import annotations

import logging
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.errors import ConfigError, DataError, suggest
from bench.sources.cache import cache_folder

UNKNOWN = "unknown"
TIMEOUT = 60
"""Seconds without a byte after which a download is given up."""


@dataclass(frozen=True)
class File:
    """One file of a download: where it lies, and its sha256 or `unknown`; a .zip is unpacked."""

    url: str
    sha256: str = UNKNOWN

    @property
    def name(self) -> str:
        """Return the file's own name."""
        return self.url.rpartition("/")[2].replace("+", "-").replace("%20", "-")


@dataclass(frozen=True)
class Download:
    """Describe a data set that may be downloaded."""

    adapter: str
    files: tuple[File, ...]
    licence: str
    inside: str = ""
    """What the adapter is given, relative to the folder; empty: the folder itself."""


class DownloadProgress(Protocol):
    """Show how a download goes."""

    def start(self, total: int | None) -> None:
        """Begin a file of `total` bytes; None: nobody knows."""

    def update(self, n: int) -> None:
        """Take `n` more bytes."""


M4 = "https://raw.githubusercontent.com/Mcompetitions/M4-methods/6c1067e5a57161249b17289a565178dc7a3fb3ca/Dataset"
LIFETIMES = "https://raw.githubusercontent.com/CamDavidsonPilon/lifetimes/4f2833f4518621343bb6983eb3e540c11f66ec6a/lifetimes/datasets"
PROPHET = "https://raw.githubusercontent.com/facebook/prophet/181f4479878bea9234973e0fdfd46403657fed34/examples"

DOWNLOADS = {
    "movielens-latest-small": Download(
        "netflix",
        (File("https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"),),
        "research use; may be passed on under the same terms",
        inside="ml-latest-small",
    ),
    "college-msg": Download(
        "social",
        (File("https://snap.stanford.edu/data/CollegeMsg.txt.gz"),),
        "none stated; cite Panzarasa, Opsahl & Carley 2009",
        inside="CollegeMsg.txt.gz",
    ),
    "online-retail": Download(
        "retail", (File("https://archive.ics.uci.edu/static/public/352/online+retail.zip"),), "CC BY 4.0", inside="Online Retail.xlsx"
    ),
    "online-retail-ii": Download(
        "retail", (File("https://archive.ics.uci.edu/static/public/502/online+retail+ii.zip"),), "CC BY 4.0", inside="online_retail_II.xlsx"
    ),
    "cdnow-master": Download(
        "retail",
        (File(f"{LIFETIMES}/CDNOW_master.txt", "eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"),),
        "none stated; published for research and teaching",
        inside="CDNOW_master.txt",
    ),
    "m4-hourly": Download(
        "series",
        (
            File(f"{M4}/Train/Hourly-train.csv", "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f"),
            File(f"{M4}/Test/Hourly-test.csv", "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42"),
        ),
        "none stated; published for research",
    ),
    "page-views": Download(
        "series",
        (File(f"{PROPHET}/example_wp_log_peyton_manning.csv", "6b1383a6f458e317c5da0488abaf2cadccd7e80c84c7a543d084e1159d5bfa56"),),
        "MIT",
        inside="example_wp_log_peyton_manning.csv",
    ),
}
"""What may be downloaded, by the name it is registered under."""

BY_HAND = {
    "netflix-prize": (
        "the terms of the Netflix Prize forbid passing its ratings on, and Netflix has withdrawn them; if you have a copy, put "
        "combined_data_1.txt to combined_data_4.txt (or the folder of mv_*.txt) into one folder, then: "
        "bench data add netflix-prize FOLDER --adapter netflix"
    ),
    "kddcup2015": (
        "no terms are stated that would let us pass it on; with a copy of the daily counts and truth.csv in one folder: "
        "bench data add kddcup2015 FOLDER --adapter activity"
    ),
}
"""What may not be passed on: why, and what to do."""


def download_named(name: str) -> Download:
    """Look a download up; raise `ConfigError` with the likely name, or with what to add by hand and why."""
    if name in BY_HAND:
        raise ConfigError(f"{name} is not downloaded: {BY_HAND[name]}")
    if name not in DOWNLOADS:
        raise ConfigError(f"no data set {name!r} to download; {suggest(name, [*DOWNLOADS, *BY_HAND])}")
    return DOWNLOADS[name]


def downloads_folder() -> Path:
    """Return the folder of downloads, beside the cache of logs; clearing that leaves it alone."""
    return cache_folder().parent / "downloads"


def fetch(download: Download, folder: Path, progress: DownloadProgress | None = None) -> list[str]:
    """Download into `folder`, which appears whole or not at all; return the sha256 of each file.

    A folder that is there already is taken as it is: no file in it is touched. Raises `DataError` in one line for a
    wrong checksum, a broken connection, a missing page and a damaged archive.
    """
    if folder.is_dir() and any(folder.iterdir()):
        return []
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    except OSError as error:
        raise DataError(f"cannot write to {folder.parent} ({error.strerror}); give a folder with --to FOLDER") from error
    try:
        digests = [_fetched(file, unfinished, progress) for file in download.files]
        if not (unfinished / download.inside).exists():
            raise DataError(f"{download.files[0].url} holds no {download.inside!r}: it has changed; add what you have by path")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return digests


def _fetched(file: File, folder: Path, progress: DownloadProgress | None) -> str:
    """Download one file and unpack a .zip; return the sha256 of what came."""
    import pooch  # type: ignore[import-untyped]

    pooch.get_logger().setLevel(logging.ERROR)  # it would write of every file to stderr
    expected = None if file.sha256 == UNKNOWN else f"sha256:{file.sha256}"
    try:
        path = Path(pooch.retrieve(file.url, expected, fname=file.name, path=folder, downloader=_Downloader(progress)))
    except ValueError as error:
        raise DataError(f"{file.url}: what came is not what was published ({_checksums(error)}); try again, or add it by path") from error
    except OSError as error:  # the errors of requests are such
        raise DataError(f"{file.url}: {_reason(error)}; check the connection and try again, or add the data by path") from error
    digest: str = pooch.file_hash(str(path))
    if path.suffix == ".zip":
        _unpack(path, folder, file.url)
    return digest


@dataclass(frozen=True)
class _Downloader:
    """Stand in for pooch's own, which leaves its connection open after an error and unpacks what is sent packed."""

    progress: DownloadProgress | None

    def __call__(self, url: str, output: str, _pooch: object) -> None:
        import requests

        with requests.get(url, stream=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}) as response:
            response.raise_for_status()
            if self.progress is not None:
                self.progress.start(int(response.headers.get("Content-Length", 0)) or None)
            with Path(output).open("wb") as stream:
                for chunk in response.iter_content(1 << 16):
                    stream.write(chunk)
                    if self.progress is not None:
                        self.progress.update(len(chunk))


def _unpack(path: Path, folder: Path, url: str) -> None:
    try:
        with zipfile.ZipFile(path) as packed:
            packed.extractall(folder)  # it keeps names such as ../x inside the folder
        path.unlink()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise DataError(f"{url}: what came is no archive that can be unpacked ({error}); try again") from error


def _checksums(error: Exception) -> str:
    """Keep the two checksums of pooch's message."""
    words = str(error).partition("known hash: ")[2].partition(". Deleted")[0]
    return words.replace("sha256:", "") or " ".join(str(error).split())


def _reason(error: OSError) -> str:
    """State in a few words why a download failed: the library's own messages fill a screen."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    words = " ".join(str(error).split())
    if "IncompleteRead" in words or "Connection broken" in words:
        return "the connection broke before the file was whole"
    if "timed out" in words:
        return f"no answer within {TIMEOUT} s"
    return "the server cannot be reached" if "Max retries" in words or "Failed to" in words else words[:200]
