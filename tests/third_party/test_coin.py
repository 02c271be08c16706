"""A distribution of someone else's, installed beside `bench`, takes part like any other."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest
from execute.kit import PATIENCE, bench_process

from bench.registry import Source, models
from bench.testing import ModelTests

HERE = Path(__file__).resolve().parent / "coin"


class TestCoin(ModelTests):
    """The checks for authors, as a third party would run them; what a coin cannot keep, it announces itself."""

    model = models(Source("coin", str(HERE / "coin.py"), is_file=True))["coin"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Install the distribution by hand: its module, and the metadata that an installer would derive from its project file."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "site"
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    shutil.copy(HERE / "coin.py", folder)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{name} = {module}" for name, module in points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def said(site: Path, *words: str) -> object:
    """Run a command in a process that has the distribution, and read its JSON."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    process = bench_process([*words, "--json"], {"PYTHONPATH": path})
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return json.loads(out)


def test_a_third_partys_model_is_listed_with_its_distribution(site: Path) -> None:
    origins = {row["name"]: row["origin"] for row in said(site, "list", "models")}
    assert origins["coin"] == "coin (coin)"


def test_a_third_partys_model_has_its_row_in_a_run(site: Path, tmp_path: Path) -> None:
    words = ["run", "--task", "churn", "--dataset", "retail", "--profile", "smoke", "--workers", "1", "--out", str(tmp_path / "run")]
    document = said(site, *words, "--model", "coin", "--model", "base-rate", "--quiet")
    (row,) = (r for r in document["rows"] if r["model"] == "coin")
    assert (row["status"], row["plugin"], row["plugin_version"], row["tuning"]) == ("ok", "coin (coin)", "1.0", "default")
    assert 0.2 < row["roc_auc"] < 0.8
    assert {r["model"] for r in document["rows"]} == {"coin", "base-rate"}


def test_a_third_partys_model_is_checked_by_name_and_its_announced_failures_are_none_of_the_tools(site: Path) -> None:
    verdicts = said(site, "plugin", "check", "coin")
    assert {v["plugin"] for v in verdicts} == {"coin"}
    excused = {v["check"] for v in verdicts if v["status"] == "expected failure"}
    assert excused == {"a row alone gets the answer it gets among others", "the order of rows does not matter"}
