"""A worker starts with what its plugin needs: it is started anew for most jobs of a plugin that is not shipped."""

from __future__ import annotations

from pathlib import Path

from execute.kit import cell_of, described, drive, executor_in, odd, tiny_split

LOOKS = """
HEAVY = ("polars", "pyarrow", "pandas", "optuna", "scipy", "bench.metrics.anomaly")

def loaded():
    if found := [name for name in HEAVY if name in sys.modules]:
        raise ImportError(f"{found} was imported by nobody's wish")

loaded()
"""
ASKED_LAST = """
@classmethod
def choices(cls, task):
    loaded()
    return {}
"""


def test_neither_describing_nor_fitting_a_model_without_a_space_imports_the_libraries_of_tables_and_searches(tmp_path: Path) -> None:
    path = odd(tmp_path, "light", head=LOOKS, body=ASKED_LAST, fit="loaded()", predict="loaded()\nreturn np.full(len(inputs), 0.5)")
    with executor_in(tmp_path / "scratch") as executor:
        (plugin,) = described(executor, [path])
        assert (plugin.status, plugin.reason) == ("ok", "")
        done = drive(executor, tmp_path / "run", [cell_of(plugin, tiny_split())])
    assert [(entry["status"], entry["reason"]) for entry in done.entries.values()] == [("ok", "")] * 2
