"""The small commands: lists, data, plugins, doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import invoke

HEAVY = ("torch", "tensorflow", "sklearn", "pandas", "statsmodels", "lightgbm")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list", "models"], ["list", "datasets"], ["--version"]])
def test_help_and_lists_import_nothing_heavy(arguments: list[str]) -> None:
    look = f"sys.exit(' '.join(m for m in {HEAVY!r} if m in sys.modules) or 0)"
    code = f"import sys; from bench.cli import invoke; invoke({arguments!r}); {look}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_models_are_listed_with_their_origin(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["list", "models", "--json"]) == 0
    rows = {row["name"]: row["origin"] for row in json.loads(capsys.readouterr().out)}
    assert {"base-rate", "recency", "frequency", "rfm-logit", "rfm-lightgbm", "bgnbd", "paretonbd", "lstm"} <= set(rows)
    assert rows["lstm"] == "seqbench (bench_plugins.lstm)"


def test_tasks_and_metrics_are_listed_with_options_and_directions(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["list", "tasks", "--json"]) == 0
    assert {row["option"] for row in json.loads(capsys.readouterr().out)} >= {"horizon", "eligible", "cutoffs", "split"}
    assert invoke(["list", "metrics", "--json"]) == 0
    better = {row["metric"]: row["better"] for row in json.loads(capsys.readouterr().out)}
    assert (better["roc_auc"], better["log_loss"]) == ("higher", "lower")


def test_data_info_describes_a_log_and_data_clear_empties_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "info", "retail", "--size", "100", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["simulated"]
    assert sum(facts["kinds"].values()) == facts["events"] == sum(facts["activity"])
    assert invoke(["data", "list", "--json"]) == 0
    assert [c["cached"] for c in json.loads(capsys.readouterr().out)["cached"]] == ["retail-sim"]
    assert invoke(["data", "clear"]) == 0
    assert capsys.readouterr().out.startswith("removed 1 cached logs")


def test_data_info_draws_bars(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "info", "retail", "--size", "100"]) == 0
    out = capsys.readouterr().out
    assert all(words in out for words in ("activity over time", "users by active days", "days between active days", "█", "dropped of"))


def test_data_check_reports_counts_rate_and_memory(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "check", "retail", str(real / "cdnow" / "CDNOW_sample.txt"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows_read"], report["users"], report["name"]) == (6_919, 2_357, "cdnow-sample")
    assert report["rows_per_second"] > 0
    assert report["peak_memory_mb"] > 10


def test_plugin_list_loads_each_and_shows_failures_with_the_cure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    assert invoke(["plugin", "list", "--plugins-dir", str(tmp_path), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["rfm-logit"]["status"], rows["rfm-logit"]["serves"]) == ("ok", "churn")
    assert rows["needy"]["status"] == "skipped"
    assert "pip install no_such_library" in rows["needy"]["about"]
    assert rows["broken"]["status"] == "failed"
    assert "ZeroDivisionError" in rows["broken"]["about"]


def test_doctor_names_versions_devices_and_folders(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"bench", "python", "cores", "memory", "gpu", "cache"} <= set(report["machine"])
    versions = {row["library"]: row for row in report["libraries"]}
    assert versions["numpy"]["version"] != "-"
    assert all(row["missing"] for row in report["libraries"] if row["version"] == "-")
    assert any(row["name"] == "rfm-logit" and row["status"] == "ok" for row in report["plugins"])


def test_the_python_module_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("bench ")


def test_the_features_are_listed_with_what_each_is(capsys: pytest.CaptureFixture[str]) -> None:
    from bench.api import FEATURES, STATIC

    assert invoke(["list", "features", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [*STATIC, *FEATURES]
    assert all(row["meaning"] for row in rows)
