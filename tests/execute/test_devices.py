"""`--device`: who trains on a GPU, and a run that asks for one that is not there ends before anything is read.

Frameworks that are a few lines long stand for torch and tensorflow: they tell of as many GPUs as a test wants.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bench
from bench.cli import invoke
from bench.execute import devices
from bench.execute.describe_plugin import gpus
from bench.execute.gpus import Gpu
from bench.execute.worker_env import environment
from bench.neural.switch import GRAPHS
from bench.runs import runner

TORCH = "class cuda:\n    device_count = staticmethod(lambda: {n})\n"
TORCH += "    get_device_properties = staticmethod(lambda n: type('Properties', (), dict(total_memory=2**34)))\n"
TORCH += "    set_per_process_memory_fraction = staticmethod(lambda share, n: None)\n\ndef manual_seed(seed): pass\n"
TENSORFLOW = "class config:\n    list_physical_devices = staticmethod(lambda kind: [kind] * {n})\n"
TENSORFLOW += "    get_logical_device_configuration = staticmethod(lambda gpu: [2**10])\n\n"
TENSORFLOW += "class random:\n    set_seed = staticmethod(lambda seed: None)\n"
# it asks for its framework when it fits, as a plugin may; what it is given to compute on is what it answers
MODEL = """
import numpy as np
import bench


class Odd(bench.ArrayModel):
    name = "odd-{runtime}"
    tasks = frozenset({{"churn"}})
    runtime = "{runtime}"

    def fit(self, train, ctx):
        self.state = {{"gpu": np.array(ctx.device == "cuda:0")}}

    def predict(self, inputs, ctx):
        return np.linspace(0.4, 0.6, len(inputs))


@bench.hookimpl
def bench_models():
    return [Odd]
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put frameworks that see so many GPUs before the real ones, in workers alone; gives the options that bring a model of each."""

    def shown(torch: int, tensorflow: int) -> list[str]:
        for name, text, n in (("torch", TORCH, torch), ("tensorflow", TENSORFLOW, tensorflow)):
            (tmp_path / "path").mkdir(exist_ok=True)
            (tmp_path / "path" / f"{name}.py").write_text(text.format(n=n))
            (tmp_path / f"odd_{name}.py").write_text(MODEL.format(runtime=name))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
        return [str(tmp_path / f"odd_{name}.py") for name in ("torch", "tensorflow")]

    return shown


@pytest.mark.parametrize(
    ("torch", "tensorflow", "words"),
    [
        (0, 0, "torch, which odd-torch would train with, sees no such GPU; tensorflow, which odd-tensorflow would"),
        (1, 0, "--device cuda: tensorflow, which odd-tensorflow would train with, sees no such GPU; use --device cpu or auto"),
        (0, 1, "--device cuda: torch, which odd-torch would train with, sees no such GPU; use --device cpu or auto"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_in_one_line_before_anything_is_read(torch, tensorflow, words, seen, tmp_path, capsys):
    plugins = [word for path in seen(torch, tensorflow) for word in ("--plugin", path)]
    models = ["--model", "odd-torch", "--model", "odd-tensorflow", "--model", "base-rate"]
    nowhere = ["--dataset", f"retail={tmp_path / 'nowhere.csv'}"]  # would be refused as soon as it were looked at
    assert invoke(["run", "--task", "churn", *nowhere, *plugins, *models, "--device", "cuda", "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def devices_of(board: Any) -> dict[str, str]:
    """Return the device of each model's row; a mean of models has none."""
    return {row["model"]: row["device"] for row in board.rows if row["model"] != "mean-of-3"}


def test_with_a_gpu_the_models_of_frameworks_train_on_it_and_the_others_do_not(seen, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "gpus", lambda: (Gpu("T4", 16_000.0, 15_000.0),))
    board = run(tmp_path, seen(1, 1), device="cuda:0")
    told = {row["model"]: (row["gpu"], row["gpu_memory_mb"]) for row in board.rows if row["status"] == "ok"}
    assert told["odd-torch"] == told["odd-tensorflow"] == ("T4", 16_000.0)
    assert told["base-rate"] == (None, None), "nothing of the GPU that its worker could see is its own"
    assert {row["model"]: row["device"] for row in board.rows if row["model"] != "mean-of-3"} == {
        "odd-torch": "cuda",
        "odd-tensorflow": "cuda",
        "base-rate": "cpu",
    }


def test_auto_takes_a_gpu_where_the_framework_sees_one_and_else_the_cpu(seen, tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "DRIVER", tmp_path)  # something that exists
    board = run(tmp_path, seen(0, 1), device="auto")
    assert {row["model"]: row["device"] for row in board.rows if row["model"] != "mean-of-3"} == {
        "odd-torch": "cpu",
        "odd-tensorflow": "cuda",
        "base-rate": "cpu",
    }
    assert {row["status"] for row in board.rows if row["model"] != "mean-of-3"} == {"ok"}


def run(tmp_path: Path, plugins: list[str], device: str) -> bench.Board:
    models = ["odd-torch", "odd-tensorflow", "base-rate"]
    return bench.run("churn", datasets=["retail"], models=models, plugins=plugins, profile="smoke", device=device, out=tmp_path / "run")


def test_the_shipped_networks_too_are_refused_where_there_is_no_gpu(tmp_path, capsys):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("keras", reason="keras is not installed")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    words = ["--task", "churn", "--dataset", "retail", "--model", "lstm", "--model", "keras-lstm", "--out", str(tmp_path / "run")]
    assert invoke(["run", *words, "--device", "cuda"]) == 2
    err = capsys.readouterr().err
    assert "torch, which lstm would train with, sees no such GPU; tensorflow, which keras-lstm would" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "device", "shown"),
    [
        (None, "cpu", ""),
        ("0,1", "cpu", ""),
        (None, "cuda", "0"),
        (None, "cuda:2", "2"),
        ("3,5", "cuda", "3"),
        ("3,5", "cuda:1", "5"),
        ("3,5", "cuda:2", ""),
        ("GPU-8f2,GPU-91c", "cuda:1", "GPU-91c"),
        ("", "cuda", ""),  # the user hides all of them
    ],
)
def test_a_worker_sees_one_gpu_of_those_that_the_user_shows(given, device, shown, tmp_path, monkeypatch):
    if given is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    made = environment(tmp_path, device)
    assert made["CUDA_VISIBLE_DEVICES"] == shown
    assert made["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"  # or the first job of a GPU would take all of its memory


def test_a_worker_captures_graphs_where_its_place_says_so_whatever_the_users_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv(GRAPHS, "1")
    assert GRAPHS not in environment(tmp_path, "cuda:0")
    assert environment(tmp_path, "cuda:0", graphs=True)[GRAPHS] == "1"


def test_no_framework_is_imported_to_count_gpus_that_are_hidden(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus("a_framework_that_is_not_there") == 0
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"imported {name}"))
    assert [gpus(runtime) for runtime in ("none", "torch", "tensorflow")] == [0, 0, 0]


@pytest.mark.parametrize("name", ["TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "KERAS_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"])
def test_a_worker_writes_to_no_cache_that_its_supervisor_names(name, tmp_path, monkeypatch):
    """torch names its own in the environment of whoever imports it; confined workers cannot write there."""
    monkeypatch.setenv(name, "/somewhere/else")
    assert name not in environment(tmp_path, "cpu")
