"""The pytest classes that authors inherit: what passes, what fails, what is excused, in a pytest run of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.testing.scaffold import write_distribution, write_file

SUITE = """
import numpy as np

import my_data
import my_model
from bench.testing import DatasetTests, ModelTests


class Whole(my_model.MyModel):
    tasks = frozenset({"churn"})


class TestWhole(ModelTests):
    model = Whole


class Draws(Whole):
    deterministic = False

    def predict(self, inputs, ctx):
        return np.random.default_rng(ctx.seed).uniform(0, 1, len(inputs))


class TestDraws(ModelTests):
    model = Draws


class TestExcused(ModelTests):
    model = Draws
    expected_failures = {
        "churn: a row alone gets the answer it gets among others": "it draws for each row",
        "the order of rows does not matter": "it draws for each row",
    }


class TestExcusedForNothing(ModelTests):
    model = Whole
    expected_failures = {"the same seed gives the same answer": "one never knows"}


class TestExcusedWithoutWords(ModelTests):
    model = Whole
    expected_failures = {"no such check": "because"}


class TestData(DatasetTests):
    dataset = my_data.MyData


class Restless(my_data.MyData):
    def read(self, path, options):
        (path / "seen.txt").write_text("here I was") if path.is_dir() else None
        return super().read(path, options)


class TestRestless(DatasetTests):
    dataset = Restless
"""


def outcomes(folder: Path, *words: str) -> dict[str, set[str]]:
    """Run pytest in `folder`; give, for each class, what did not pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--rootdir", str(folder), *words, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found: dict[str, set[str]] = {}
    for status, owner, case in re.findall(r"^(PASSED|FAILED|XFAIL|ERROR) \S+?::(\w+)::(.*?)(?: - .*)?$", done.stdout, re.MULTILINE):
        found.setdefault(owner, set())
        if status != "PASSED":
            found[owner].add(f"{status} {case.partition('[')[2].rstrip(']') or case}")
    assert found, done.stdout + done.stderr
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    folder = tmp_path_factory.mktemp("suite")
    write_file("my-model", folder, kind="model")
    write_file("my-data", folder, kind="dataset")
    (folder / "test_suite.py").write_text(SUITE)
    return outcomes(folder)


def test_the_written_model_and_adapter_pass_by_inheritance(ran):
    assert ran["TestWhole"] == set()
    assert ran["TestData"] == set()


def test_what_a_model_breaks_fails_under_a_name_that_says_it(ran):
    alone, order = "churn: a row alone gets the answer it gets among others", "churn: the order of rows does not matter"
    assert ran["TestDraws"] == {f"FAILED {alone}", f"FAILED {order}"}
    assert ran["TestExcused"] == {f"XFAIL {alone}", f"XFAIL {order}"}


def test_an_excuse_that_is_not_needed_or_of_no_check_fails(ran):
    assert ran["TestExcusedForNothing"] == {"FAILED churn: the same seed gives the same answer"}
    assert ran["TestExcusedWithoutWords"] == {"FAILED test_expected_failures_are_checks_that_exist_each_with_a_reason"}


def test_an_adapter_that_writes_into_its_source_fails(ran):
    assert "FAILED reading leaves the source as it was" in ran["TestRestless"]


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_the_tests_of_a_written_distribution_pass(kind, tmp_path: Path):
    home = write_distribution("my-own", tmp_path, kind=kind)
    found = outcomes(home, "-o", "pythonpath=src")
    assert found == {"TestMyOwn": set()}
