"""The training loop: early stopping, stopping on request, seeds, clear errors."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from bench.api import Context  # noqa: E402
from bench.errors import PluginError  # noqa: E402
from bench.neural.batches import Sequences, batches  # noqa: E402
from bench.neural.loop import LOSSES, Adam, Average, Loop, Weights, in_bf16, outputs  # noqa: E402
from bench.neural.resident import MOST_BYTES, Resident, resident, rounded  # noqa: E402
from bench.neural.training import WIDE, DivergedError, TrainingRecipe, enough  # noqa: E402


class Sum(torch.nn.Module):
    """A linear layer over the sum of the real steps: order-free, padding-free, quick."""

    def __init__(self, f=2):
        super().__init__()
        self.dense = torch.nn.Linear(f, 1)

    def forward(self, x, length):
        inside = torch.arange(x.shape[1]) < length[:, None]  # [N, T]
        return self.dense((x * inside[..., None]).sum(1))


@dataclass(frozen=True)
class Counting(Context):
    """Stop after a number of steps."""

    stop_after: int = 10**9
    asked: list[int] = field(default_factory=list)

    def should_stop(self):
        self.asked.append(1)
        return len(self.asked) > self.stop_after


def sequences(n, target, seed=0, context=0):
    rng = np.random.default_rng(seed)
    offsets = np.r_[0, np.cumsum(rng.integers(1, 6, n))]
    y = np.broadcast_to(np.asarray(target, np.float32), n)[:, None].copy()
    return Sequences(offsets, rng.normal(size=(offsets[-1], 2)).astype(np.float32), np.zeros((n, context), np.float32), y)


def untrained():
    torch.manual_seed(0)
    return Sum()


def trained(fit, held, ctx, **recipe):
    net = untrained()
    loop = Loop(net, TrainingRecipe("bce", **recipe), ctx)
    loop.run(fit, held)
    return net, loop


def test_the_weights_with_the_lowest_holdout_loss_are_kept():
    told = []
    ctx = Context(epochs=50, on_report=lambda epoch, loss: told.append((epoch, loss)))
    held = sequences(40, target=0, seed=1)
    fit = sequences(40, target=1)
    net, _ = trained(fit, held, ctx, lr=0.1, patience=3)  # learning 1 makes the holdout, all 0, worse each epoch
    losses = [loss for _, loss in told]
    assert [epoch for epoch, _ in told] == [0, 1, 2, 3]
    assert losses[-1] > losses[0] == min(losses)
    kept = torch.nn.functional.binary_cross_entropy_with_logits(torch.from_numpy(outputs(net, held, ctx)), torch.from_numpy(held.target))
    assert kept.item() == pytest.approx(losses[0], rel=1e-6)


def test_training_ends_at_the_most_epochs_allowed():
    told = []
    rows = sequences(40, target=1)
    trained(rows, rows, Context(epochs=4, on_report=lambda *at: told.append(at)))
    assert len(told) == 4


def test_without_a_holdout_all_epochs_run_and_the_last_weights_stay():
    fit = sequences(40, target=1)
    ctx = Counting(epochs=3)
    net, loop = trained(fit, None, ctx)
    assert loop.best.weights is None
    assert len(ctx.asked) == sum(len(batches(fit.lengths, size, (0, epoch))) for epoch, size in enumerate((32, 64, 128)))
    assert outputs(net, fit, ctx).mean() > outputs(untrained(), fit, ctx).mean()


def test_the_stop_signal_is_asked_at_every_step_and_honoured_at_once():
    told = []
    ctx = Counting(epochs=50, stop_after=7, on_report=lambda *at: told.append(at))
    fit = sequences(40, target=1)
    _, loop = trained(fit, fit, ctx, batch=8)
    assert len(ctx.asked) == 8
    assert loop.stopped
    assert len(told) < 2


def test_a_deadline_that_has_passed_stops_before_the_first_step():
    stopped = []
    net, _ = trained(sequences(40, 1), None, Context(deadline=0.0, on_stop=lambda: stopped.append(True)))
    assert stopped
    assert torch.equal(net.dense.weight, untrained().dense.weight)


def test_a_loss_that_is_no_number_is_a_clear_error():
    broken = sequences(40, target=1)
    broken.features[3] = np.nan
    with pytest.raises(DivergedError, match=r"loss of Sum became nan in epoch 0; lower the learning rate") as caught:
        trained(broken, None, Context())
    assert isinstance(caught.value, PluginError)


def test_a_holdout_loss_that_is_no_number_is_a_clear_error():
    broken = sequences(40, target=1)
    broken.features[3] = np.nan
    with pytest.raises(DivergedError, match="epoch 0"):
        trained(sequences(40, target=1), broken, Context())


def test_the_averaged_weights_start_at_the_first_steps_and_swap_back():
    net = untrained()
    mean = Average(list(net.parameters()))
    for value in (1.0, 2.0, 3.0):
        with torch.no_grad():
            net.dense.weight.fill_(value)
        mean.follow()
    mean.swap()
    assert 2.0 < net.dense.weight[0, 0].item() < 3.0
    mean.swap()
    assert (net.dense.weight == 3.0).all()


def test_gradients_are_clipped():
    rows = sequences(8, target=1)
    rows.features[:] = 1e4
    net = Sum()
    loop = Loop(net, TrainingRecipe("bce", clip=1.0, batch=8), Context())
    loop.step(rows, np.arange(8), torch.optim.SGD(net.parameters(), lr=0.0))
    assert torch.cat([p.grad.ravel() for p in net.parameters()]).norm() <= 1.0 + 1e-5


def test_each_row_weighs_the_same_in_a_full_and_in_a_small_batch():
    rows = sequences(8, target=1)
    grads = []
    for cut in ([np.arange(8)], [np.arange(2), np.arange(2, 8)]):
        torch.manual_seed(0)
        net, total = Sum(), 0.0
        loop = Loop(net, TrainingRecipe("bce", clip=1e9, batch=8), Context())
        for batch in cut:
            loop.step(rows, batch, torch.optim.SGD(net.parameters(), lr=0.0))
            total = total + net.dense.weight.grad.clone()
        grads.append(total)
    assert torch.allclose(grads[0], grads[1], atol=1e-6)


class Own(Sum):
    """Learn from an objective of its own: the distance of the outputs from 3."""

    def objective(self, x, length, target, loss):
        assert loss(self(x, length), target).isfinite()
        return ((self(x, length) - 3) ** 2).sum()


def test_a_network_may_learn_by_an_objective_of_its_own_and_is_judged_by_the_tasks_loss():
    told, fit, net = [], sequences(40, target=1), Own()
    loop = Loop(net, TrainingRecipe("bce", lr=0.1, patience=50), Context(epochs=40, on_report=lambda _, loss: told.append(loss)))
    loop.run(fit, fit)
    assert np.abs(outputs(net, fit, Context()) - 3).mean() < 1.5
    assert loop.best.loss == min(told)
    assert loop.loss_sum(fit) / len(fit) == pytest.approx(min(told), rel=1e-5)


def test_outputs_come_in_the_order_of_the_rows_over_several_batches():
    rows = sequences(2 * WIDE + 3, target=1)
    net = Sum()
    steps = [rows.features[a:b].sum(0) for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]
    expected = net.dense(torch.from_numpy(np.stack(steps))).detach().numpy()
    assert np.abs(outputs(net, rows, Context()) - expected).max() < 1e-5


def test_a_cpu_never_computes_in_bf16():
    assert not in_bf16(torch.nn.Linear(2000, 2000), "cpu")


def test_the_quantile_loss_agrees_with_scikit_learn_and_leaves_out_what_is_unknown():
    from sklearn.metrics import mean_pinball_loss

    rng, levels = np.random.default_rng(0), (0.1, 0.5, 0.8)
    raw, target = rng.normal(size=(4, 5, 3)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)
    target[1, 2:], target[3] = np.nan, np.nan
    rows = [(raw[n][~np.isnan(target[n])], target[n][~np.isnan(target[n])]) for n in range(3)]
    expected = sum(np.mean([2 * mean_pinball_loss(y, q[:, at], alpha=level) for at, level in enumerate(levels)]) for q, y in rows)
    found = LOSSES["pinball"](torch.from_numpy(raw.reshape(4, 15)), torch.from_numpy(target), torch.tensor(levels))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_huber_loss_leaves_out_what_is_unknown_and_passes_no_gradient_to_it():
    raw = torch.tensor([[0.5, 9.0, 3.0], [1.0, 1.0, 1.0]], requires_grad=True)
    loss = LOSSES["huber"](raw, torch.tensor([[0.0, torch.nan, 0.0], [torch.nan] * 3]), torch.tensor([]))
    assert loss.item() == pytest.approx((0.125 + 2.5) / 2)
    loss.backward()
    assert (raw.grad != 0).tolist() == [[True, False, True], [False, False, False]]


def test_batches_grow_to_four_times_their_size_but_not_where_the_rate_falls():
    shares = (0.0, 0.19, 0.2, 0.59, 0.6, 0.99)
    assert [TrainingRecipe("bce").grown(share) for share in shares] == [32, 32, 64, 64, 128, 128]
    assert [TrainingRecipe("bce", batch=64).grown(share) for share in shares] == [64, 64, 128, 128, 128, 128]
    assert {TrainingRecipe("bce", batch=200).grown(share) for share in shares} == {200}
    assert {TrainingRecipe("pinball", falling=True).grown(share) for share in shares} == {32}


def test_a_small_log_takes_more_epochs_and_longer_patience_up_to_a_bound():
    recipe = TrainingRecipe("bce", rows=100, patience=3)
    assert [recipe.epochs(5, rows) for rows in (1, 10, 40, 1000)] == [20, 10, 5, 5]
    assert [recipe.waited(rows) for rows in (1, 2, 10)] == [10, 5, 3]
    assert TrainingRecipe("bce").epochs(5, 1) == 5
    assert TrainingRecipe("bce", patience=3).waited(1) == 3
    assert [TrainingRecipe("bce", calm=10_000).waited(rows) for rows in (1, 2_500, 3_400, 20_000)] == [5, 4, 2, 2]
    assert recipe.grown(0.9) == recipe.batch  # steps, not epochs, are what is short
    told: list[int] = []
    ctx = Context(epochs=2, on_epoch=lambda _, of, __: told.append(of))
    rows = sequences(10, 1.0)
    Loop(untrained(), TrainingRecipe("huber", rows=60, batch=5), ctx).run(rows, rows)
    assert told == [6] * 6


def test_an_epoch_of_long_windows_takes_others_each_time_and_no_more_than_usual_ones_would():
    lengths = np.full(4000, 100)
    taken = []
    for epoch in range(6):
        cut = batches(lengths, 32, seed=(0, epoch))
        kept = enough(lengths, cut, 50 * 4000)
        assert 50 * 4000 <= kept * 3200 < 50 * 4000 + 3200
        taken.append(np.concatenate(cut[:kept]))
    assert len(np.unique(np.concatenate(taken))) > 3900
    short = batches(np.full(4000, 50), 32, seed=0)
    assert enough(np.full(4000, 50), short, 50 * 4000) == len(short), "usual windows are all taken"


def test_only_where_the_rate_falls_and_rows_are_bounded_is_an_epoch_cut():
    asked = {}
    for name, rows, falling in (("bounded", 1, True), ("free", None, True), ("stays", 1, False)):
        ctx = Counting(epochs=1, rows=rows)
        trained(sequences(320, target=1), None, ctx, falling=falling)
        asked[name] = len(ctx.asked)
    assert asked["bounded"] <= 2, "50 steps are one batch, or two of the shortest rows"
    assert asked["free"] == asked["stays"] >= 10


def test_a_step_on_one_vector_of_weights_is_the_step_on_each_weight():
    rows, recipe = sequences(40, target=1), TrainingRecipe("bce", lr=0.05, batch=8, clip=0.5)
    own, plain = untrained(), untrained()
    loop, adam, mean = Loop(own, recipe, Context()), torch.optim.Adam(plain.parameters(), lr=0.05), Average(list(plain.parameters()))
    optimiser = loop.optimiser()
    for batch in batches(rows.lengths, 8, seed=0) * 3:
        loop.step(rows, batch, optimiser)
        x, length = (torch.from_numpy(part) for part in rows.padded(batch))
        loss = LOSSES["bce"](plain(x, length), torch.from_numpy(rows.target[batch]), torch.tensor([]))
        adam.zero_grad()
        (loss / 8).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        adam.step()
        mean.follow()
    for mine, theirs in zip(own.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    assert torch.allclose(loop.mean.weights[0], torch.cat([w.flatten() for w in mean.weights]), atol=1e-6)


def test_after_training_each_weight_has_memory_of_its_own_and_no_gradient():
    net, loop = trained(sequences(40, target=1), None, Context(epochs=1))
    assert len(loop.own.tensors) == 1
    assert len({p.untyped_storage().data_ptr() for p in net.parameters()}) == len(list(net.parameters()))
    assert all(p.grad is None for p in net.parameters())


def test_weights_of_several_kinds_and_frozen_ones_are_left_as_they_are():
    mixed = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).double())
    assert len(Weights(mixed).tensors) == 4
    frozen = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(False))
    before = frozen[1].weight
    (whole,) = Weights(frozen).tensors
    assert whole.numel() == 6
    assert frozen[1].weight is before


@pytest.mark.parametrize("context", [0, 3])
def test_resident_rows_are_the_rows(context):
    rows = sequences(50, target=np.arange(50), context=context)
    kept = Resident(rows, "cpu")
    for batch in (np.array([7]), np.arange(50), np.array([30, 2, 2, 49]), *batches(rows.lengths, 8, 0)):
        (x, length), (expected, real) = kept.gathered(batch), rows.padded(batch)
        assert (x.numpy() == expected).all()
        assert (length.numpy() == real).all()
        assert (kept.targets(batch).numpy() == rows.target[batch]).all()


def test_rows_too_many_to_keep_are_made_batch_by_batch(monkeypatch):
    rows = sequences(50, target=1)
    assert isinstance(resident(rows, "cpu"), Resident)
    size = int(rows.lengths.sum()) * 2 * 4
    assert size < MOST_BYTES
    monkeypatch.setattr("bench.neural.resident.MOST_BYTES", size - 1)
    assert resident(rows, "cpu") is rows
    one, other = (trained(given, None, Context(epochs=3))[0] for given in (rows, Resident(rows, "cpu")))
    assert torch.equal(one.dense.weight, other.dense.weight)


def test_a_gpu_sees_few_shapes_and_little_padding():
    found = [rounded(steps) for steps in range(1, 257)]
    assert all(steps <= given < 1.5 * steps for steps, given in enumerate(found, 1))
    assert len(set(found)) == 16
    assert rounded(257) == 384


def test_a_training_does_not_import_the_compiler():
    code = """
import sys, numpy as np, torch
from bench.api import Context
from bench.neural.batches import Sequences
from bench.neural.loop import Loop
from bench.neural.training import TrainingRecipe

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(2, 1)
    def forward(self, x, length):
        return self.dense(x.sum(1))

rows = Sequences(np.arange(9), np.ones((8, 1), np.float32), np.ones((8, 1), np.float32), np.ones((8, 1), np.float32))
net = Net()
before = net.dense.weight.detach().clone()
Loop(net, TrainingRecipe("huber"), Context(epochs=2)).run(rows, rows)
assert not torch.equal(before, net.dense.weight)
print(*(name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_optimiser_moves_weights_as_torchs_own_does():
    torch.manual_seed(0)
    one, other = (torch.nn.Parameter(torch.ones(7)) for _ in range(2))
    mine, theirs = Adam([one], lr=0.01, fused=True), torch.optim.Adam([other], lr=0.01, fused=True)
    for _ in range(5):
        gradient = torch.randn(7)
        one.grad, other.grad = gradient.clone(), gradient.clone()
        mine.step()
        theirs.step()
    assert torch.equal(one, other)
    assert not torch.equal(one, torch.ones(7))
