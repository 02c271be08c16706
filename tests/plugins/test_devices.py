"""Every torch network computes where it is told to: on a GPU as on the CPU where there is one, and in bf16.

Without a GPU, torch's `meta` device stands for one: it knows the place of each tensor and computes nothing, so that a
tensor left on the CPU is an error there as it would be on a GPU. Autocast is the same branch on both devices.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from plugins.network_kit import QUICK, RECURRENT, TINY, answer, data, every_task, fitted, users  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from bench.neural import loop  # noqa: E402
from bench.registry import discover, models  # noqa: E402

SOURCES = discover().sources["bench.models"]
PARAMS = {"lstm": RECURRENT, **TINY}
TORCH = ["lstm", "self-attention", "seq2seq", "vae"]
every_network = pytest.mark.parametrize("name", TORCH)
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


def kind(name):
    return models(SOURCES[name])[name]


@cache
def known(name, task):
    """Give a model that was fitted once, on the CPU."""
    return fitted(kind(name), PARAMS[name], data(task)[0])


def close(found, expected, share):
    """Say whether answers agree to a share of their spread."""
    return np.abs(found - expected).max() < share * (expected.std() + 1e-6)


def test_all_torch_plugins_are_looked_at():
    lazily = {name for name, source in SOURCES.items() if source.distribution == "seqbench" and "keras" not in source.target}
    of_all_tasks = {name for name in lazily if {"churn", "forecasting", "anomaly"} <= kind(name).tasks}
    assert [name for name in sorted(of_all_tasks) if kind(name).runtime == "torch"] == TORCH


@every_task
@every_network
def test_nothing_of_a_network_is_left_on_the_cpu(name, task):
    model, (train, inputs) = known(name, task), data(task)
    encoder, there = model.fitted(), replace(QUICK, device="meta")
    training = loop.Loop(deepcopy(model.network), model.recipe(encoder), there)
    assert {p.device.type for p in training.net.parameters()} == {"meta"}
    assert {p.device.type for p in training.mean.weights} == {"meta"}
    loss = training.learnt(encoder.training_rows(train, there), np.arange(8))
    loss.backward()
    assert loss.device.type == "meta"
    training.mean.follow()
    rows = encoder.prediction_rows(inputs)
    raw = loop.forward(training.net.eval(), rows, np.arange(5), "meta")
    assert (raw.device.type, raw.shape) == ("meta", (5, encoder.sizes.o))


def test_a_tensor_that_stays_on_the_cpu_is_found():
    class Left(torch.nn.Linear):
        def forward(self, x, length):
            return super().forward(x).sum(1) * (torch.arange(len(x)) + 1.0)[:, None]

    rows = known("lstm", "churn").fitted().prediction_rows(data("churn")[1])
    with pytest.raises(RuntimeError, match="device"):
        loop.forward(Left(rows.padded(np.arange(5))[0].shape[2], 1).to("meta"), rows, np.arange(5), "meta")


@every_task
@every_network
def test_in_bf16_a_network_learns_and_answers_nearly_as_in_32_bits(name, task, monkeypatch):
    model, (train, inputs) = known(name, task), data(task)
    expected = answer(model, inputs)
    asked = []
    monkeypatch.setattr(loop, "in_bf16", lambda _, device: not asked.append(device))
    found = answer(model, inputs)
    assert set(asked) == {"cpu"}
    assert close(found, expected, 0.2)
    assert (found != expected).any()
    assert np.isfinite(answer(fitted(kind(name), PARAMS[name], train), inputs)).all()


@on_a_gpu
@every_task
@every_network
def test_what_was_learnt_on_a_gpu_answers_the_same_on_the_cpu(name, task):
    train, inputs = data(task)
    there = replace(QUICK, device="cuda:0")
    torch.cuda.reset_peak_memory_stats()
    model = fitted(kind(name), PARAMS[name], train, there)
    assert {p.device.type for p in model.network.parameters()} == {"cuda"}
    assert torch.cuda.max_memory_allocated() > 0
    on_gpu, on_cpu = (answer(model, inputs, replace(QUICK, device=device)) for device in ("cuda:0", "cpu"))
    assert close(on_gpu, on_cpu, 1e-2)
    assert (answer(fitted(kind(name), PARAMS[name], train, there), inputs, there) == on_gpu).all()  # a seed gives one answer there too


@on_a_gpu
@every_network
def test_on_a_gpu_a_network_learns_as_well_as_on_the_cpu(name):
    train, test = users(800, shortest=2), users(400, seed=1, shortest=2)
    auc = {}
    for device in ("cpu", "cuda:0"):
        ctx = replace(QUICK, epochs=15, device=device)
        auc[device] = roc_auc_score(test.y, answer(fitted(kind(name), PARAMS[name], train, ctx), test, ctx))
    assert auc["cuda:0"] > 0.9
    assert auc["cuda:0"] == pytest.approx(auc["cpu"], abs=0.05)
