"""A task of someone else's, installed beside `bench`, is run, ranked, reported, published, verified and predicted with."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path

import polars as pl
import pytest
from execute.kit import PATIENCE, bench_process
from run_kit import purchases

from bench.errors import ConfigError, PluginError
from bench.registry import discover, models
from bench.testing import TaskTests

HERE = Path(__file__).resolve().parent / "above"


class TestAbove(TaskTests):
    task = type(discover([HERE / "above.py"]).task("above"))
    model = models(discover([HERE / "above.py"]).files[0])["above-recent"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the distribution by hand, with a log beside it."""
    home = tmp_path_factory.mktemp("above")
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    info = home / "site" / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    shutil.copy(HERE / "above.py", home / "site")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{name} = {module}" for name, module in points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    purchases(0.006, users=120).write_csv(home / "orders.csv")
    return home


def said(place: Path, *words: str) -> str:
    """Give a command in a process that has the distribution."""
    path = os.pathsep.join(filter(None, [str(place / "site"), os.environ.get("PYTHONPATH")]))
    process = bench_process([*words], {"PYTHONPATH": path, "BENCH_CACHE": str(place / "cache")})
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out + err
    return out


def test_a_third_partys_task_goes_all_the_way_without_a_line_of_the_core(place: Path) -> None:
    assert '"task": "above"' in said(place, "list", "metrics", "--json")
    log, run = f"events={place / 'orders.csv'}", str(place / "run")
    models = ["--model", "above-rate", "--model", "above-recent"]
    words = ["run", "--task", "above", "--dataset", log, *models, "--profile", "smoke", "--workers", "1", "--out", run, "--quiet"]
    rows = json.loads(said(place, *words, "--json"))["rows"]
    assert {(r["model"], r["status"]) for r in rows} >= {("above-rate", "ok"), ("above-recent", "ok")}
    assert {r["rank"] for r in rows} > {None}
    assert all(0 < r["above_brier"] < 1 and r["above_brier_low"] <= r["above_brier"] <= r["above_brier_high"] for r in rows)
    assert "Brier score" in said(place, "board", "show", run)
    said(place, "report", run)
    page = "".join(p.read_text() for p in (place / "run" / "report").rglob("*.html"))
    assert "above-recent" in page
    said(place, "publish", run, "--to", str(place / "published"))
    assert "re-scored" in said(place, "verify", str(place / "published"), "--source", f"orders={place / 'orders.csv'}")
    answer = said(place, "predict", run, "--data", str(place / "orders.csv"), "--model", "above-recent")
    frame = pl.read_csv(answer.encode())
    assert frame.columns == ["user", "p_above", "model"]


def test_a_task_in_a_file_is_found_and_one_that_lacks_parts_is_refused(tmp_path: Path) -> None:
    registry = discover([HERE / "above.py"])
    assert registry.task("above").name == "above"
    assert {"above", "churn", "next-event"} <= set(registry.tasks())
    with pytest.raises(ConfigError, match="unknown task 'abov'"):
        registry.task("abov")
    (file := tmp_path / "bare.py").write_text(
        "import bench\nclass Bare:\n    name = 'bare'\n@bench.hookimpl\ndef bench_tasks():\n    return [Bare]\n"
    )
    with pytest.raises(PluginError, match=r"task Bare lacks .*metrics.*splits.*; see bench.Task"):
        discover([file]).task("bare")
