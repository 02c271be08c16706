"""Tests that share a costly thing are handed to one process."""

from __future__ import annotations

from pathlib import Path

import pytest
from sharing import ALONE, scope_of

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
    ],
)
def test_what_shares_a_framework_a_run_or_a_file_runs_in_one_process(one: str, other: str, together: bool) -> None:
    assert (scope_of(one, ROOT) == scope_of(other, ROOT)) is together
