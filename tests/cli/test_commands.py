"""The small commands: lists, data, plugins, doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from bench.cli import invoke

SOME = {"bench.models": ("rfm-logit", "base-rate"), "bench.datasets": ("retail",), "bench.tasks": ("churn",)}
"""Plugins that load in a moment; that all that are shipped can be loaded is seen in tests/testing/test_shipped.py."""
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


def test_what_models_serve_and_need_is_listed_as_they_say_when_they_are_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    from bench.registry import discover, models

    assert invoke(["list", "models", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    light = [n for n, row in listed.items() if not row["needs"]]
    assert len(light) > 20
    for name in light:
        model = models(discover().sources["bench.models"][name])[name]
        assert listed[name]["serves"] == ", ".join(sorted(model.tasks)), name
    assert {n: row["needs"] for n, row in listed.items() if n in ("lstm", "keras-vae", "ets")} == {
        "lstm": "seqbench[torch]", "keras-vae": "seqbench[tensorflow]", "ets": "seqbench[stats]",
    }  # fmt: skip
    assert listed["vae"]["serves"] == "anomaly, churn, forecasting, next-event"
    assert invoke(["list", "models", "--task", "churn", "--json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} == {
        n for n, r in listed.items() if "churn" in r["serves"].split(", ")
    }
    assert invoke(["list", "models", "--task", "chrun"]) == 2


def test_profiles_are_listed_with_what_they_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["list", "profiles", "--json"]) == 0
    rows = {row["profile"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == ["smoke", "short", "medium", "full"]
    assert [rows["medium"][key] for key in ("trials", "epochs", "history", "seeds")] == [20, 15, 64, 3]


def test_a_shell_completes_names_also_after_a_comma() -> None:
    from bench.cli import complete

    assert complete.models("rfm-") == ["rfm-lightgbm", "rfm-logit"]
    assert complete.models("lstm,rfm-lo") == ["lstm,rfm-logit"]
    assert complete.datasets("ret") == ["retail"]
    assert complete.tasks("ch") == ["churn"]
    assert complete.profiles("m") == ["medium"]


@pytest.mark.parametrize(
    ("environ", "terminal", "colour"),
    [({"TERM": "xterm"}, True, True), ({"TERM": "xterm"}, False, False), ({"TERM": "dumb"}, True, False),
     ({"TERM": "xterm", "NO_COLOR": "1"}, True, False), ({"FORCE_COLOR": "1"}, False, True),
     ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False)],
)  # fmt: skip
def test_tables_are_coloured_where_colour_is_wanted(environ: dict[str, str], terminal: bool, colour: bool) -> None:
    import io
    import re

    from bench.cli.colour import painted

    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    table = "rank  model\n1     lstm\n-     vae  failed\nlstm leads; vae is next"
    found = painted(table, stream, environ)
    assert re.sub(r"\x1b\[\d+m", "", found) == table
    assert ("\x1b[32m1     lstm" in found) is colour
    assert (found != table) is colour


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


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install `SOME` plugins alone."""
    found = metadata.entry_points()
    points = metadata.EntryPoints(p for group, names in SOME.items() for p in found.select(group=group) if p.name in names)
    monkeypatch.setattr(metadata, "entry_points", lambda: points)


@pytest.mark.usefixtures("few")
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
    assert any(row["name"] == "rfm-logit" and row["status"] == "found" for row in report["plugins"])


@pytest.mark.usefixtures("few")
def test_doctor_imports_no_plugin_unless_it_is_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    look = "sys.exit(' '.join(m for m in sys.modules if m.startswith('bench_') or m in ('torch', 'tensorflow', 'lightgbm')) or 0)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; from bench.cli import invoke; invoke(['doctor']); {look}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "bench doctor --plugins" in done.stdout
    assert invoke(["doctor", "--plugins", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["plugins"]
    assert any(row["name"] == "rfm-logit" and row["status"] == "ok" for row in rows)


@pytest.mark.parametrize("group", [[], ["data"], ["list"], ["board"], ["plugin"]])
def test_a_group_of_commands_alone_prints_its_help(group: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(group) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"Usage: {' '.join(['bench', *group])} ")
    assert "Commands:" in captured.out
    assert captured.err == ""


def test_a_plugin_that_is_given_and_cannot_be_loaded_ends_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    command = ["run", "--task", "churn", "--dataset", "retail", "--profile", "smoke", "--workers", "1", "--model", "recency", "--quiet"]
    assert invoke([*command, "--plugin", str(tmp_path / "needy.py"), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --plugin {tmp_path / 'needy.py'} cannot be loaded: needs no_such_library, which is not installed: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert invoke(["plugin", "check", str(tmp_path / "needy.py")]) == 1
    assert capsys.readouterr().out.endswith("could not be loaded, none of its checks was run\n")


def test_an_own_log_is_looked_at_with_the_columns_that_a_run_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv").write_text("who,moment,was\na,2024-01-01,x\nb,2024-01-02,y\na,2024-01-03,x\n")
    named = ["--user", "who", "--time", "moment", "--kind", "was", "--json"]
    assert invoke(["data", "info", str(tmp_path / "log.csv"), *named]) == 0
    assert json.loads(capsys.readouterr().out)["kinds"] == {"x": 2, "y": 1}
    assert invoke(["data", "check", "events", str(tmp_path / "log.csv"), *named]) == 0
    assert json.loads(capsys.readouterr().out)["users"] == 2
    assert invoke(["data", "check", "retail", str(tmp_path / "log.csv"), *named[:2]]) == 2
    assert "--user goes with an own log (events); 'retail' knows its columns" in capsys.readouterr().err


def test_the_python_module_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("bench ")


def test_the_features_are_listed_with_what_each_is(capsys: pytest.CaptureFixture[str]) -> None:
    from bench.api import FEATURES, STATIC

    assert invoke(["list", "features", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [*STATIC, *FEATURES]
    assert all(row["meaning"] for row in rows)
