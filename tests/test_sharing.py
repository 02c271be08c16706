"""Tests that share a costly thing are handed to one process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from sharing import ALONE, LONGEST, SharedScheduling, scope_of

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("tests/plugins/test_keras_vae.py::TestKerasVae::test_a", "tests/neural/test_keras_loop.py::test_b", True),
        (f"{ALONE}::test_a[keras-lstm]", "tests/plugins/test_keras.py::test_b", True),
        (f"{ALONE}::test_a[lstm]", f"{ALONE}::test_a[vae]", False),
        ("tests/runs/test_predict.py::test_a", "tests/runs/test_ensemble.py::test_b", True),
        ("tests/runs/test_run.py::test_a", "tests/runs/test_run.py::test_b[x::y]", True),
        ("tests/runs/test_run.py::test_a", "tests/runs/test_predict.py::test_a", False),
        ("tests/test_leaderboards.py::test_a", "tests/report/test_published_site.py::test_a", True),
    ],
)
def test_what_shares_a_framework_a_run_or_a_file_runs_in_one_process(one: str, other: str, together: bool) -> None:
    assert (scope_of(one, ROOT) == scope_of(other, ROOT)) is together


def test_what_takes_longest_is_begun_first_and_is_there() -> None:
    assert all((ROOT / scope).is_file() for scope in LONGEST if scope.endswith(".py"))
    tests = [
        "tests/test_registry.py::test_1",
        "tests/test_registry.py::test_2",
        "tests/test_sharing.py::test_1",
        f"{LONGEST[-1]}::test_1",
        f"{LONGEST[-2]}::test_1",
    ]
    nodes = [Node(), Node()]
    options = {"tx": ["popen", "popen"], "px": [], "maxprocesses": None}
    config = SimpleNamespace(getvalue=options.get, getoption=options.get, rootpath=ROOT, option=SimpleNamespace(loadscopereorder=True))
    schedule = SharedScheduling(config)
    for node in nodes:
        schedule.add_node(node)
        schedule.add_node_collection(node, tests)
    schedule.schedule()
    assert [node.sent[0] for node in nodes] == [4, 3]


class Node:
    """Stands for a process of pytest-xdist: notes the tests that it is sent, by their place."""

    shutting_down = False
    gateway = SimpleNamespace(id="gw")

    def __init__(self) -> None:
        self.sent: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True
