"""Stages too large to be kept twice: each job is sent them anew, and gets them whole whatever the one before did to its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from execute.kit import cell_of, described, drive, executor_in, model_text, tiny_split, write_plugin

import bench.data.payload
import bench.execute.local
from bench.tune.plan import Budget

SPOILS = """
seen = [float(np.abs(a).sum()) for a in (inputs.static, inputs.days_before_cutoff, inputs.value)]
for array in (inputs.static, inputs.days_before_cutoff, inputs.value, inputs.offsets):
    array[:] = 0
return 1 / (1 + np.exp(-np.arange(len(inputs)) / 10 - self.bias - sum(seen) / 1e4))
"""
"""What it predicts tells what it was handed; then it ruins that."""


def ran(folder: Path) -> list[tuple[object, ...]]:
    folder.mkdir()
    fit = "self.bias = float(train.y.mean() + train.static.mean())\ntrain.y[:] = 1\ntrain.static[:] = 9"
    path = write_plugin(folder, "spoils", model_text(fit=fit, predict=SPOILS), classes="Odd")
    with executor_in(folder / "slots") as executor:
        cell = cell_of(described(executor, [path])[0], tiny_split())
        done = drive(executor, folder / "run", [cell], budget=Budget(trials=1, seeds=2))
    return [(e["status"], e["reason"], e["stage"], e["values"]) for e in done.entries.values()]


def test_every_job_gets_its_inputs_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = ran(tmp_path / "usual")
    assert [status for status, *_ in usual] == ["ok"] * 3
    monkeypatch.setattr(bench.data.payload, "LARGE", 1)
    assert ran(tmp_path / "kept") == usual
    monkeypatch.setattr(bench.execute.local, "KEPT_BYTES", 0)
    assert ran(tmp_path / "once") == usual
