"""Which tests run in one process of several: those that share something that is costly to make.

Under pytest-xdist a fixture of a module, a cached run or an imported framework is made once in each process that has a
test of it. Handed out test by test, all of them would be made everywhere.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from xdist.scheduler import LoadScopeScheduling

PUBLISHED = ("tests/report/test_published_site.py", "tests/test_leaderboards.py")
"""They look at the site of the published runs, derived once."""
ALONE = "tests/testing/test_shipped.py"
"""Its tests share nothing: they fill the gaps at the end."""
LONGEST = (
    "tensorflow",
    "run_kit",
    "tests/execute/test_isolation.py",
    "tests/runs/test_resume.py",
    "tests/publish/test_tampering.py",
    "published",
    "tests/third_party/test_written.py",
    "tests/publish/test_concurrency.py",
    "tests/execute/test_mean_of.py",
    "tests/cli/test_first_ten_minutes.py",
    "tests/docs/test_tutorials.py",
    "tests/third_party/test_above.py",
    "tests/campaigns/test_short_forms.py",
    "tests/tasks/test_forecast_runs.py",
    "tests/publish/test_verify.py",
    "tests/publish/test_s3.py",
    "tests/cli/test_boundaries.py",
)
"""What takes longest, begun first, whatever its number of tests: begun last, one process would wait for the other's."""


class SharedScheduling(LoadScopeScheduling):
    """Schedule by `scope_of`."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid, self.config.rootpath)

    def _assign_work_unit(self, node: Any) -> None:
        if not self.assigned_work.get(node):
            for scope in reversed(LONGEST):
                if scope in self.workqueue:
                    self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


def scope_of(nodeid: str, root: Path) -> str:
    """Return what a test shares with others: a framework, the finished runs of `run_kit`, the published site, or its file's fixtures."""
    file, _, _ = nodeid.partition("::")
    if "keras" in nodeid.lower():
        return "tensorflow"
    if file in PUBLISHED:
        return "published"
    if file == ALONE:
        return nodeid
    return "run_kit" if _uses_run_kit(root / file) else file


@cache
def _uses_run_kit(file: Path) -> bool:
    text = file.read_text("utf-8")
    return any(f"run_kit.{name}()" in text for name in ("churn", "forecasting", "anomaly"))
