"""What `bench plugin new --distribution` writes, installed as it stands: found by its name, checked, run, and its own tests pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench.testing.scaffold import write_distribution


def installed(home: Path) -> Path:
    """Do what an editable installation does: put the sources on the path, with the metadata of the project file beside them."""
    project = tomllib.loads((home / "pyproject.toml").read_text())["project"]
    info = home / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{name} = {module}" for name, module in points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return home / "src"


def told(home: Path, *words: str) -> str:
    """Give a command in the distribution's folder, where it is installed."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(home / "src"), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run([sys.executable, "-m", *words], cwd=home, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["model", "dataset", "task"])
def test_a_written_distribution_is_found_checked_and_run_by_its_name(kind, tmp_path):
    home = write_distribution("my-own", tmp_path, kind=kind)
    installed(home)
    if kind != "task":
        listed = json.loads(told(home, "bench", "list", f"{kind}s", "--json"))
        assert {row["name"]: row["origin"] for row in listed}["my-own"] == "my-own (my_own.plugin)"
    verdicts = json.loads(told(home, "bench", "plugin", "check", "my-own", *(["--task", "churn"] if kind == "model" else []), "--json"))
    assert {v["status"] for v in verdicts} <= {"ok", "skipped"}
    assert len([v for v in verdicts if v["status"] == "ok"]) >= (12 if kind == "task" else 8)
    mine = ["my-own-rate", "my-own-recent"]
    data, models = {"model": ("retail", ["my-own"]), "dataset": ("my-own", ["base-rate"]), "task": ("retail", mine)}[kind]
    task = "my-own" if kind == "task" else "churn"
    words = ["--task", task, "--profile", "smoke", "--trials", "1", "--dataset", data, "--model", ",".join(models), "--json", "--quiet"]
    rows = json.loads(told(home, "bench", "run", *words, "--out", str(tmp_path / "run")))["rows"]
    assert {(row["model"], row["status"]) for row in rows if row["model"] in models} == {(model, "ok") for model in models}


@pytest.mark.parametrize("kind", ["model", "dataset", "task"])
def test_the_tests_of_a_written_distribution_pass(kind, tmp_path):
    home = write_distribution("my-own", tmp_path, kind=kind)
    installed(home)
    out = told(home, "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in out
    assert "failed" not in out
