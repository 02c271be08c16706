"""What a job's key is made of: the sources that it runs and the versions of what they import, and nothing else."""

from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

import pytest
from execute.kit import executor_in

from bench.execute import job_sources
from bench.execute.describe_plugins import Describer
from bench.execute.job_sources import closure, core_modules, job_digest, plugin_digest, versions_of
from bench.execute.jobs import Plugin
from bench.registry import discover

CHURN = "bench.tasks.churn.task"
SOURCES = discover().sources["bench.models"]


def described(names: list[str], folder: Path, workers: int) -> dict[str, Plugin]:
    with executor_in(folder, workers) as executor:
        found = Describer(executor, [SOURCES[name] for name in names], 4096.0).finish()[0]
    return {plugin.name: plugin for plugin in found}


def test_what_is_known_of_a_plugin_depends_neither_on_its_neighbours_nor_on_the_number_of_workers(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    several = ["lstm", "rfm-lightgbm", "zero", "rfm-logit"]
    one, three = (described(several, tmp_path / str(n), n) for n in (1, 3))
    less = described(several[2:], tmp_path / "less", 1)
    assert one == three
    assert less == {name: one[name] for name in several[2:]}
    assert set(one["zero"].versions) == set(one["rfm-logit"].versions) == {"python", "numpy"}
    assert "torch" in one["lstm"].versions
    assert one["rfm-lightgbm"].versions["lightgbm"] == version("lightgbm")


SHAPES = {
    "at the top": "import a, b.c as d\nfrom e import (\n    f,\n    g,\n)\nx = 1\n",
    "in blocks": (
        "if x:\n    import a\nelif y:\n    import b\nelse:\n    import c\nfor _ in x:\n    import d\nelse:\n    import e\n"
        "try:\n    import f\nexcept* E:\n    import g\nelse:\n    import h\nfinally:\n    import i\n"
        "with x:\n    import j\nmatch x:\n    case 1:\n        import k\nwhile x: import l; import m\n"
    ),
    "in functions": "class A:\n    async def b(self):\n        def c():\n            from d.e import f\n        return c\n\nx = 1\n",
    "in the last line": "x = 1\nimport a",
    "before a block goes on": "try:\n    import a\nexcept ImportError:\n    from b import c\nx = 1\n",
    "before a text that begins at the margin": 'import a\nx = """import b\nimport c\nfrom d import e\n"""\ny = 1\n',
    "before a line that goes on": "import a\nx = 1 + \\\nimportant\ny = 1\n",
    "in a comment at the end": "def a():\n    import b\n# import c\nx = 1  # import d\n",
    "with other line ends": "import a\r\nx = 1\r\n",
    "nowhere": "x = 1\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_imports_are_those_of_the_whole_file_wherever_they_stand(tmp_path: Path, shape: str) -> None:
    file = tmp_path / "file.py"
    file.write_text(SHAPES[shape], newline="")
    nodes = list(ast.walk(ast.parse(SHAPES[shape])))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [(node.module or "", alias.name) for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert job_sources.imports_of(file) == {*modules, *(base for base, _ in froms), *(f"{base}.{name}" for base, name in froms)}


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the sources of bench, to change them."""
    root = tmp_path / "bench"
    for file in job_sources.BENCH.rglob("*.py"):
        copy = root / file.relative_to(job_sources.BENCH)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    monkeypatch.setattr(job_sources, "BENCH", root)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: Found(root.parent.joinpath(*name.split(".")).with_suffix(".py")))
    return root


class Found:
    def __init__(self, file: Path) -> None:
        self.origin = str(file)


def digest_now(task: str, *modules: str) -> str:
    job_sources.imports_of.cache_clear()
    job_sources._job_digest.cache_clear()
    return job_digest(task, modules)


@pytest.mark.parametrize("file", ["report/palette.py", "cli/doctor.py", "publish/verify.py", "tasks/anomaly/task.py", "neural/loop.py"])
def test_a_comment_in_what_no_job_runs_leaves_its_key_alone(core: Path, file: str) -> None:
    before = digest_now(CHURN)
    (core / file).write_text((core / file).read_text() + "\n# a comment\n")
    assert digest_now(CHURN) == before


@pytest.mark.parametrize(
    "file",
    ["tasks/churn/task.py", "tasks/churn/rows.py", "tasks/base.py", "metrics/churn.py", "execute/worker.py", "data/ragged.py", "api.py"],
)
def test_a_change_in_what_a_job_runs_changes_its_key(core: Path, file: str) -> None:
    before = digest_now(CHURN)
    (core / file).write_text((core / file).read_text() + "\n# a comment\n")
    assert digest_now(CHURN) != before


def test_the_training_loop_belongs_to_the_jobs_of_the_plugins_that_import_it(core: Path) -> None:
    network = "bench.neural.torch_model"
    before = digest_now(CHURN, network)
    (core / "neural/loop.py").write_text((core / "neural/loop.py").read_text() + "\n# a comment\n")
    assert digest_now(CHURN, network) != before


def test_a_plugins_hash_follows_the_modules_of_its_own_package(tmp_path: Path) -> None:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text("import scipy.stats\nfrom bench.neural import loop\nfrom mine._parts import part\n")
    (package / "_parts.py").write_text("def part():\n    import lightgbm\n")
    (package / "other.py").write_text("import torch\n")
    file = package / "model.py"
    assert core_modules(file) == ("bench.neural", "bench.neural.loop")
    assert set(versions_of(closure([file]), ["pandas"], "none")) == {"python", "scipy", "lightgbm", "pandas"}
    before = plugin_digest(file)
    (package / "other.py").write_text("import torch, numpy\n")
    assert plugin_digest(file) == before
    job_sources.imports_of.cache_clear()
    (package / "_parts.py").write_text("def part():\n    import scipy\n")
    assert plugin_digest(file) != before
