"""Which tests run in one process of several: those that share something that is costly to make.

Under pytest-xdist a fixture of a module, a cached run or an imported framework is made once in each process that has a
test of it. Handed out test by test, all of them would be made everywhere.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ALONE = "tests/testing/test_shipped.py"
"""Its tests share nothing, and each takes long: they fill the gaps at the end."""


class SharedScheduling(LoadScopeScheduling):
    """Schedule by `scope_of`."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid, self.config.rootpath)


def scope_of(nodeid: str, root: Path) -> str:
    """Return what a test shares with others: a framework, the finished runs of `run_kit`, or its file's fixtures."""
    file, _, _ = nodeid.partition("::")
    if "keras" in nodeid.lower():
        return "tensorflow"
    if file == ALONE:
        return nodeid
    return "run_kit" if _uses_run_kit(root / file) else file


@cache
def _uses_run_kit(file: Path) -> bool:
    text = file.read_text("utf-8")
    return any(f"run_kit.{name}()" in text for name in ("churn", "forecasting", "anomaly"))
