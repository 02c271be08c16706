"""Runs that the tests of publishing share; made once, never changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import bench
from bench.publish.publish import publish


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a finished churn run on simulated data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("BENCH_CONFIG", str(tmp_path_factory.mktemp("config")))
        folder = tmp_path_factory.mktemp("made") / "run"
        models = ["base-rate", "rfm-logit", "recency"]
        bench.run("churn", datasets=["retail"], models=models, profile="smoke", trials=2, out=folder)
    return folder


@pytest.fixture
def run_folder(made: Path, tmp_path: Path) -> Path:
    """Give a copy of the run folder that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture(scope="session")
def published(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a place where that run is published."""
    place = tmp_path_factory.mktemp("published") / "place"
    publish(made, str(place))
    return place


@pytest.fixture
def place(published: Path, tmp_path: Path) -> Path:
    """Give a copy of that place that a test may change."""
    return Path(shutil.copytree(published, tmp_path / "place"))
