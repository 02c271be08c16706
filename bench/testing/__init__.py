"""The authors' kit: checks that a plugin keeps its contract, as pytest classes to inherit and for `bench plugin check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.testing.adapters import DatasetTests
    from bench.testing.answers import CheckError
    from bench.testing.models import ModelTests
    from bench.testing.tasks import TaskTests

# name -> module: the classes need pytest, which the command line does without
_HOME = {
    "CheckError": "bench.testing.answers",
    "DatasetTests": "bench.testing.adapters",
    "ModelTests": "bench.testing.models",
    "TaskTests": "bench.testing.tasks",
}

__all__ = ["CheckError", "DatasetTests", "ModelTests", "TaskTests"]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module 'bench.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
