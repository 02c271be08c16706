"""Fixtures that all tests share."""

from __future__ import annotations

import compileall
import gc
import itertools
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

if all(find_spec(name) for name in ("torch", "triton", "tensorflow")):
    # triton, which CUDA builds of torch bring, ends the process where it is loaded after TensorFlow; a worker of bench never
    # has both, this process has
    import torch._dynamo  # noqa: F401

# no test depends on how busy the machine is
settings.register_profile("bench", deadline=None)
settings.load_profile("bench")

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Compile the sources once, in the process that starts all others: of some two thousand, each would do so for itself.

    They do where bytecode is not to be written (`PYTHONDONTWRITEBYTECODE`), and confined workers anyway: to them all is read-only.
    """
    if not hasattr(config, "workerinput"):
        for name in ("bench", "plugins", "datasets"):
            compileall.compile_dir(ROOT / name, quiet=2)


def pytest_collection_finish() -> None:
    """Spare the collected tests and what they import of garbage collection: walking them took seconds, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Hand tests out by what they share, where `-n` alone is given; `--dist` chooses another way."""
    if config.getoption("dist") != "load":
        return None
    from sharing import SharedScheduling

    return SharedScheduling(config, log)


@pytest.fixture(scope="session")
def real() -> Path:
    """Give the folder of real data sets; it is not part of the project, so tests that need it may be skipped."""
    folder = Path(os.environ.get("BENCH_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real data sets are absent; point BENCH_TEST_DATA at them")
    return folder


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Derive board and site beside the published runs, which are all that the repository holds; to be looked at alone."""
    from bench.publish.publish import rebuild

    home = ROOT / "leaderboards"
    if not home.is_dir():
        pytest.skip("the published runs are part of the repository alone, not of the source distribution")
    copy = tmp_path_factory.mktemp("published") / "leaderboards"
    for name in ("runs", "commits", "verifications"):
        shutil.copytree(home / name, copy / name)
    rebuild(str(copy))
    return copy


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Leave what is written to the system's own cache: no test cuts the power, and the wait for a disk was minutes of the suite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder for each test in turn; pytest's own way to a new folder reads the names of all that there are."""
    base = tmp_path_factory.mktemp("homes")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def private_cache(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep each test away from the user's own cache and registered data sets."""
    home = next(homes)
    for name in ("cache", "config"):
        (home / name).mkdir(parents=True)
        monkeypatch.setenv(f"BENCH_{name.upper()}", str(home / name))
