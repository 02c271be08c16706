"""Every model and adapter that ships with bench passes the checks that are asked of everybody's."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bench.registry import MissingDependencyError, discover, models, needed
from bench.testing.checks import CHECKS, it_imports_without_a_gpu
from bench.testing.dataset_checks import DATASET_CHECKS
from bench.testing.dataset_checks import it_imports_without_a_gpu as adapter_imports
from bench.testing.verdicts import announced, reason_for, refuse_unsound, verdict_of

ROOT = Path(__file__).resolve().parents[2]
HOMES = {"bench.models": ("plugins", "bench_plugins"), "bench.datasets": ("datasets", "bench_datasets")}
REGISTRY = discover()
SHIPPED = {n: s for n, s in sorted(REGISTRY.sources["bench.models"].items()) if s.distribution == "seqbench"}
ADAPTERS = {n: s for n, s in sorted(REGISTRY.sources["bench.datasets"].items()) if s.distribution == "seqbench"}


@cache
def loaded(name: str) -> Any:
    return models(SHIPPED[name])[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_passes_in_each_of_its_tasks(name: str) -> None:
    try:
        model = loaded(name)
    except MissingDependencyError as missing:
        pytest.skip(str(missing))
    if lacking := [module for module in model.requires if find_spec(module) is None]:
        pytest.skip(needed(lacking[0]))
    expected = announced(model)
    refuse_unsound(expected, [c.name for c in CHECKS])
    assert model.tasks
    for task in ("", *sorted(model.tasks)):
        # importing is looked at for all modules together, below
        checks = [c for c in CHECKS if c.call is not it_imports_without_a_gpu and (task in c.tasks or not (task or c.tasks))]
        verdicts = [verdict_of(name, task, c.name, partial(c.run, model, task), reason_for(expected, task, c.name)) for c in checks]
        assert [f"{task}: {v.check}: {v.reason}" for v in verdicts if v.status == "failed"] == []
        assert sum(v.status == "ok" for v in verdicts) > len(checks) // 2


def test_every_plugin_of_the_project_is_among_those_checked() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    for group, found in (("bench.models", SHIPPED), ("bench.datasets", ADAPTERS)):
        assert declared[group] == {name: source.target for name, source in found.items()}, "install the project again: pip install -e ."
        package = ROOT.joinpath(*HOMES[group])
        offering = {path.stem for path in package.glob("*.py") if "@hookimpl" in path.read_text("utf-8")}
        samplers = set(declared["bench.samplers"].values()) if group == "bench.models" else set()
        assert {f"{package.name}.{stem}" for stem in offering} == set(declared[group].values()) | samplers


def test_every_model_that_a_shipped_file_offers_has_its_entry_point() -> None:
    for target in sorted({source.target for source in SHIPPED.values()}):
        own = {name: source for name, source in SHIPPED.items() if source.target == target}
        try:
            assert set(models(next(iter(own.values())))) == set(own)
        except MissingDependencyError:
            continue


def test_every_shipped_module_is_imported_where_there_is_no_gpu() -> None:
    usable = []
    for name in SHIPPED:
        try:
            usable.append(loaded(name).__module__)
        except MissingDependencyError:
            continue
    code = f"import importlib\nfor name in {sorted(set(usable))!r}: importlib.import_module(name)"
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_shipped_adapter_passes(name: str) -> None:
    adapter = type(REGISTRY.dataset(name))
    checks = [c for c in DATASET_CHECKS if c.call is not adapter_imports]
    verdicts = [verdict_of(name, "", c.name, partial(c.call, adapter, None), reason_for(announced(adapter), "", c.name)) for c in checks]
    assert [f"{v.check}: {v.reason}" for v in verdicts if v.status == "failed"] == []
    if adapter.simulated_name:
        assert all(v.status == "ok" for v in verdicts)
