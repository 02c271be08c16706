"""Each check of adapters catches the adapter that breaks what it is about, and no other check does."""

from __future__ import annotations

import importlib.util
import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from bench.api import Dataset
from bench.data.events import Events
from bench.errors import DataError
from bench.testing.dataset_checks import DATASET_CHECKS
from bench.testing.scaffold import write_file
from bench.testing.verdicts import verdict_of


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> type[Dataset]:
    """Give the adapter that `bench plugin new` writes."""
    path = write_file("my-data", tmp_path_factory.mktemp("plugin"), kind="dataset")
    spec = importlib.util.spec_from_file_location("my_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MyData


def without_title(good):
    return type("Broken", (good,), {"card": replace(good.card, title=" ")})


def wordless_option(good):
    return type("Broken", (good,), {"options": {"free": ""}})


def takes_everything(good):
    class Broken(good):
        def detect(self, path):
            return "mine"

    return Broken


def knows_nothing(good):
    class Broken(good):
        def detect(self, path):
            return None

        def read(self, path, options):
            return good().read(path, options)

    return Broken


def simulates_by_chance(good):
    fresh = itertools.count()
    return type("Broken", (good,), {"simulate": lambda self, folder, size, seed: good.simulate(self, folder, size, seed + next(fresh))})


def ignores_the_seed(good):
    class Broken(good):
        def simulate(self, folder, size, seed):
            super().simulate(folder, size, 0)

    return Broken


def gives_a_frame(good):
    # a log of its own kind, that only looks like one
    def read(self, path, options):
        found = good.read(self, path, options)
        return replace(found, frame=found.frame.reverse())

    return type("Broken", (good,), {"read": read})


def reads_by_chance(good):
    fresh = itertools.count()

    def read(self, path, options):
        found = good.read(self, path, options)
        return Events.build(found.frame.with_columns(value=pl.lit(float(next(fresh)))), name=found.name, activity=found.activity)

    return type("Broken", (good,), {"read": read})


def writes_beside(good):
    def read(self, path, options):
        found = good.read(self, path, options)
        (path / "index.json").write_text("{}")
        return found

    return type("Broken", (good,), {"read": read})


def refuses_in_its_own_way(good):
    def read(self, path, options):
        try:
            return good.read(self, path, options)
        except DataError as error:
            raise ValueError(*error.args) from error

    return type("Broken", (good,), {"read": read})


def refuses_at_length(good):
    def read(self, path, options):
        try:
            return good.read(self, path, options)
        except DataError as error:
            raise DataError(f"{error}\nsee the manual") from error

    return type("Broken", (good,), {"read": read})


BROKEN = [
    (without_title, "its card and options are filled in"),
    (wordless_option, "its card and options are filled in"),
    (knows_nothing, "it recognises its own form and no rubbish"),
    (simulates_by_chance, "a seed simulates the same bytes and another seed others"),
    (ignores_the_seed, "a seed simulates the same bytes and another seed others"),
    (gives_a_frame, "it reads valid events or series"),
    (reads_by_chance, "read twice it gives the same fingerprint"),
    (writes_beside, "reading leaves the source as it was"),
    (refuses_in_its_own_way, "rubbish is refused in one line"),
    (refuses_at_length, "rubbish is refused in one line"),
]
CHECKED = [c for c in DATASET_CHECKS if "gpu" not in c.name]


def verdicts_of(adapter, data: Path | None = None) -> dict[str, str]:
    return {c.name: verdict_of("a", "", c.name, partial(c.call, adapter, data)).status for c in CHECKED}


def test_the_adapter_that_is_written_for_an_author_passes(good):
    assert set(verdicts_of(good).values()) == {"ok"}


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=[b.__name__ for b, _ in BROKEN])
def test_a_broken_adapter_is_caught_by_the_check_that_is_about_it_and_by_no_other(good, broken, check):
    found = verdicts_of(broken(good))
    assert [name for name, status in found.items() if status != "ok"] == [check]


def test_an_adapter_that_takes_everything_for_its_own_is_caught(good):
    assert verdicts_of(takes_everything(good))["it recognises its own form and no rubbish"] == "failed"


def test_without_a_simulator_and_data_it_is_said_what_cannot_be_checked_and_with_data_it_is_checked(good, tmp_path):
    plain = type("Plain", (good,), {"simulated_name": ""})
    assert list(verdicts_of(plain).values()).count("skipped") == 5
    good().simulate(tmp_path, 20, 0)
    found = verdicts_of(plain, tmp_path)
    assert [name for name, status in found.items() if status != "ok"] == ["a seed simulates the same bytes and another seed others"]
    assert list(found.values()).count("skipped") == 1
