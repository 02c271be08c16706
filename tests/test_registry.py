"""Plugins are found by name without an import; a broken one, or two that claim one name, stop nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from execute.kit import file_source, model_text, odd, write_plugin

import bench
from bench.cli import invoke
from bench.errors import ConfigError, PluginError
from bench.registry import MissingDependencyError, Source, discover, load, models


def distribution(folder: Path, name: str, points: dict[str, str], group: str = "bench.models", version: str = "1.0") -> Path:
    """Lay a distribution's metadata into a folder for the module path, as an installer would."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    return folder


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    return site


def test_two_distributions_that_claim_one_name_are_both_named_and_nothing_else_is_lost(on_path: Path) -> None:
    distribution(on_path, "left", {"same": "left_models", "one": "left_models"})
    distribution(on_path, "right", {"same": "right_models.deep:thing"}, version="2.5")
    registry = discover()
    assert "same" not in registry.sources["bench.models"]
    reason = registry.broken["bench.models"]["same"]
    assert "left 1.0 (left_models)" in reason
    assert "right 2.5 (right_models.deep)" in reason
    assert re.search(r"uninstall one \(pip uninstall (left|right)\)$", reason)
    assert registry.sources["bench.models"]["one"].origin() == "left (left_models)"
    assert "rfm-logit" in registry.sources["bench.models"]
    assert "same" in registry.names("bench.models")


def test_a_model_and_a_dataset_may_share_a_name(on_path: Path) -> None:
    distribution(on_path, "left", {"same": "left_models"})
    distribution(on_path, "right", {"same": "right_data"}, group="bench.datasets")
    registry = discover()
    assert "same" in registry.sources["bench.models"]
    assert "same" in registry.sources["bench.datasets"]
    assert not registry.broken["bench.models"]


def test_a_clash_is_a_failed_row_of_a_run_and_others_run(on_path: Path, tmp_path: Path) -> None:
    distribution(on_path, "left", {"same": "left_models"})
    distribution(on_path, "right", {"same": "right_models"})
    board = bench.run(
        "churn", datasets=["retail"], models=["base-rate", "same"], profile="smoke", trials=1, workers=1, out=tmp_path / "run"
    )
    status = {row["model"]: (row["status"], row["reason"]) for row in board.rows}
    assert status["base-rate"][0] == "ok"
    assert status["same"][0] == "failed"
    assert "left 1.0" in status["same"][1]
    assert "right 1.0" in status["same"][1]


def test_a_dataset_name_that_two_distributions_claim_cannot_be_loaded_and_says_why(on_path: Path) -> None:
    distribution(on_path, "left", {"same": "left_data"}, group="bench.datasets")
    distribution(on_path, "right", {"same": "right_data"}, group="bench.datasets")
    with pytest.raises(PluginError, match=r"dataset adapter 'same': two distributions offer .* left 1\.0 .* right 1\.0"):
        discover().dataset("same")


def test_discovery_imports_no_plugin_and_no_framework(on_path: Path, tmp_path: Path) -> None:
    distribution(on_path, "loud", {"loud": "loud_models"})
    (on_path / "loud_models.py").write_text("raise SystemExit('imported')")
    (tmp_path / "file_plugin.py").write_text("raise SystemExit('imported')")
    code = (
        "import sys\nfrom bench.registry import discover\n"
        f"registry = discover([{str(tmp_path / 'file_plugin.py')!r}])\n"
        "print('loud' in registry.sources['bench.models'], len(registry.files))\n"
        "heavy = ('torch', 'tensorflow', 'sklearn', 'pandas', 'polars', 'lightgbm', 'statsmodels', 'optuna', 'numpy')\n"
        "print([n for n in sys.modules if n.startswith(('bench_plugins', 'bench_datasets', 'loud', 'file_', 'bench_file'))"
        " or n.partition('.')[0] in heavy])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(on_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True 1", "[]"]


def test_a_misspelt_hook_is_an_error_that_names_plugin_hook_and_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "typo.py"
    path.write_text("import bench\n\n@bench.hookimpl\ndef bench_modles():\n    return []\n")
    with pytest.raises(PluginError, match=r"plugin 'typo' \(.*typo\.py\): .*bench_modles.*; hooks are bench_models, bench_datasets"):
        load(file_source(path))


def test_a_module_without_hooks_is_told_what_to_add(tmp_path: Path) -> None:
    (path := tmp_path / "empty.py").write_text("def bench_models():\n    return []\n")
    with pytest.raises(
        PluginError,
        match=r"implements no hook; add a function bench_models, .*, bench_tasks or bench_samplers decorated with @bench\.hookimpl",
    ):
        load(file_source(path))


@pytest.mark.parametrize(("returned", "words"), [("None", "NoneType"), ("{}", "dict"), ("Odd", "ABCMeta"), ("'Odd'", "str")])
def test_a_hook_that_returns_no_list_says_what_it_returned(tmp_path: Path, returned: str, words: str) -> None:
    (path := tmp_path / "hook.py").write_text(model_text() + f"\n\n@bench.hookimpl\ndef bench_models():\n    return {returned}\n")
    # a hook that returns None has, for pluggy, nothing to say
    if returned == "None":
        assert models(file_source(path)) == {}
        return
    with pytest.raises(PluginError, match=f"plugin 'hook': bench_models returned {words}, expected a list of classes"):
        models(file_source(path))


def test_a_class_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = write_plugin(tmp_path, "alien", "import bench\n\n\nclass Alien:\n    name = 'alien'\n", classes="Alien")
    with pytest.raises(PluginError, match=r"plugin 'alien' offers 'alien', which is no subclass of bench\.Model"):
        models(file_source(path))


def test_two_models_of_one_name_in_a_plugin_are_an_error(tmp_path: Path) -> None:
    path = write_plugin(tmp_path, "twins", model_text() + "\n\nclass Other(Odd):\n    pass\n", classes="Odd, Other")
    with pytest.raises(PluginError, match="plugin 'twins' offers the name 'twins' twice"):
        models(file_source(path))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import torchx.nn", "needs torchx, which is not installed: pip install torchx"),
        ("from s3fs import S3File", "needs s3fs, which is not installed: pip install 'seqbench[s3]'"),
    ],
)
def test_a_missing_library_gives_the_command_that_installs_it(
    tmp_path: Path, line: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent:
        """Stand for a library that is not installed, whether it is or not."""

        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name.partition(".")[0] in {"torchx", "s3fs"}:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Absent, *sys.meta_path])
    monkeypatch.delitem(sys.modules, "s3fs", raising=False)
    (path := tmp_path / "lacks.py").write_text(line)
    with pytest.raises(MissingDependencyError, match=re.escape(words)):
        load(file_source(path))


def test_a_distribution_whose_own_module_is_gone_is_told_to_reinstall_it(on_path: Path) -> None:
    distribution(on_path, "hollow", {"hollow": "hollow_models.inner"})
    with pytest.raises(PluginError, match=r"plugin 'hollow' names module 'hollow_models\.inner', which is not installed; reinstall hollow"):
        load(discover().sources["bench.models"]["hollow"])


@pytest.mark.parametrize(
    ("text", "words"), [("1 / 0", "ZeroDivisionError: division"), ("import sys; sys.exit(3)", "SystemExit: 3"), ("def", "SyntaxError")]
)
def test_an_import_that_breaks_is_the_plugins_own_error_and_is_not_remembered(tmp_path: Path, text: str, words: str) -> None:
    (path := tmp_path / "broken.py").write_text(text)
    with pytest.raises(PluginError, match=rf"plugin 'broken' \(.*broken\.py\) fails at import: {words}"):
        load(file_source(path))
    path.write_text(model_text() + "\n\n@bench.hookimpl\ndef bench_models():\n    return [Odd]\n")
    assert list(models(file_source(path))) == ["broken"], "the mended file loads in the same process"


def test_files_and_folders_of_plugins_are_found_by_path(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for name in ("b", "a", "_private"):
        odd(folder, name)
    (folder / "notes.txt").write_text("")
    found = discover([odd(tmp_path, "single")], [folder]).files
    assert [source.name for source in found] == ["single", "a", "b"]
    assert all(source.is_file and Path(source.target).is_absolute() for source in found)
    assert [list(models(source)) for source in found] == [["single"], ["a"], ["b"]]


def test_files_whose_paths_differ_in_a_sign_alone_are_two_modules(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    paths = [tmp_path / "my-model.py", tmp_path / "my_model.py", tmp_path / "a" / "b.py", tmp_path / "a_b.py"]
    for n, path in enumerate(paths):
        write_plugin(path.parent, path.stem, model_text(body=f'name = "number-{n}"'), classes="Odd")
    assert [list(models(file_source(path))) for path in paths] == [["number-0"], ["number-1"], ["number-2"], ["number-3"]]
    assert [list(models(file_source(path))) for path in paths[:1]] == [["number-0"]], "asked again, it is the same module"


@pytest.mark.parametrize(
    ("files", "folders", "words"), [(["x.py"], [], "--plugin x.py: no such file"), ([], ["x"], "--plugins-dir x: no such folder")]
)
def test_a_path_that_does_not_exist_is_named(files: list[str], folders: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        discover(files, folders)


def test_a_file_that_claims_an_installed_name_is_refused_with_both_origins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_plugin(tmp_path, "mine", model_text(body='name = "base-rate"'), classes="Odd")
    command = ["run", "--task", "churn", "--dataset", "retail", "--profile", "smoke", "--workers", "1", "--out", str(tmp_path / "run")]
    assert invoke([*command, "--model", "base-rate", "--plugin", str(path), "--quiet"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: model 'base-rate' is offered by ")
    assert "seqbench (bench_plugins.churn_floors)" in error
    assert str(path) in error
    assert error.endswith("rename one")


def test_two_files_that_claim_one_name_are_refused_with_both_paths(tmp_path: Path) -> None:
    paths = [write_plugin(tmp_path, name, model_text(body='name = "one"'), classes="Odd") for name in ("first", "second")]
    with pytest.raises(
        ConfigError, match=rf"model 'one' is offered by {re.escape(str(paths[0]))} and by {re.escape(str(paths[1]))}; rename one"
    ):
        bench.run("churn", datasets=["retail"], models=["one"], plugins=paths, profile="smoke", workers=1, out=tmp_path / "run")


def test_a_broken_file_is_a_row_beside_a_good_one(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import torchx")
    odd(tmp_path, "good")
    board = bench.run(
        "churn", datasets=["retail"], models=["good"], plugins_dirs=[tmp_path], profile="smoke", workers=1, out=tmp_path / "run"
    )
    assert {row["model"]: (row["status"], row["reason"]) for row in board.rows} == {
        "good": ("ok", ""),
        "broken": ("skipped", "needs torchx, which is not installed: pip install torchx"),
    }


def test_a_list_shows_what_is_broken_and_imports_nothing(on_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    distribution(on_path, "left", {"same": "left_models"})
    distribution(on_path, "right", {"same": "right_models"})
    (tmp_path / "mine.py").write_text("raise SystemExit")
    assert invoke(["list", "models", "--plugin", str(tmp_path / "mine.py"), "--json"]) == 0
    origins = {row["name"]: row["origin"] for row in json.loads(capsys.readouterr().out)}
    assert origins["same"].startswith("broken: two distributions offer the name 'same'")
    assert origins["mine"] == str(tmp_path / "mine.py")
    assert origins["rfm-logit"] == "seqbench (bench_plugins.rfm_logit)"


def test_a_source_says_where_it_comes_from() -> None:
    assert Source("a", "pkg.a", "dist", "1").origin() == "dist (pkg.a)"
    assert Source("a", "/x/a.py", is_file=True).origin() == "/x/a.py"


def test_a_misspelt_module_of_bench_is_a_failure_and_no_missing_library(tmp_path: Path) -> None:
    (tmp_path / "typo.py").write_text("import bench.neurall\n")
    with pytest.raises(PluginError, match=r"bench has no module 'bench\.neurall'") as error:
        load(file_source(tmp_path / "typo.py"))
    assert not isinstance(error.value, MissingDependencyError)
