"""Fixtures that all tests share."""

from __future__ import annotations

import os
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


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Leave what is written to the system's own cache: no test cuts the power, and the wait for a disk was minutes of the suite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep each test away from the user's own cache and registered data sets."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("BENCH_CONFIG", str(tmp_path_factory.mktemp("config")))
