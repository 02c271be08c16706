"""Captured training steps, with a recorder that stands for CUDA's: what is captured when, and that replays are the steps themselves."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from neural.fused_kit import NETS, member, rows_of, weights  # noqa: E402

from bench.api import Context  # noqa: E402
from bench.neural import graphs  # noqa: E402
from bench.neural.fused import Fused  # noqa: E402
from bench.neural.graphs import WARM, CapturedStep, wanted  # noqa: E402
from bench.neural.loop import Average, Loop  # noqa: E402
from bench.neural.switch import GRAPHS  # noqa: E402
from bench.neural.training import TrainingRecipe  # noqa: E402


class Tape:
    """Keeps the recorded step and takes it anew at each replay, from the tensors of the capture alone, into the same result."""

    def __init__(self, refuse="", waits="", dtype=torch.float32):
        self.done, self.refuse, self.waits, self.dtype = [], refuse, waits, dtype

    def warm(self, step):
        self.done.append("warm")
        return step()

    def rehearse(self, step):
        self.done.append("rehearse")
        return step(), self.waits

    def capture(self, step):
        self.done.append("capture")
        if self.refuse:
            raise RuntimeError(self.refuse)
        loss = torch.zeros((), dtype=self.dtype)

        def replay():
            self.done.append("replay")
            loss.set_(step().clone())

        return replay, loss


def test_a_shape_is_captured_once_it_is_warm_and_replayed_from_then_on():
    seen, tape = [], Tape()
    step = CapturedStep(lambda x: seen.append(x.clone()) or x.sum(), tape)
    long, short = torch.ones(4), torch.ones(2)
    losses = [float(step(k * long)) for k in range(WARM + 3)]
    assert losses == [4.0 * k for k in range(WARM + 3)]
    assert tape.done == ["warm"] * (WARM - 1) + ["rehearse", "capture"] + ["replay"] * 3
    step(short)
    assert tape.done[-1] == "warm", "another shape begins anew"
    assert [float(x[0]) for x in seen] == [*map(float, range(WARM + 3)), 1.0], "the capture itself takes no step"


def test_what_a_graph_would_repeat_is_part_of_its_shape_and_a_result_outlives_the_next_replay():
    tape = Tape()
    step = CapturedStep(lambda x: x.sum(), tape)
    for constant in (32, 64):
        for _ in range(WARM + 1):
            step(torch.ones(3), constant=constant)
    assert tape.done.count("capture") == step.shapes == 2
    first = step(torch.ones(3), constant=32)
    assert float(step(2 * torch.ones(3), constant=32)) == 6.0
    assert float(first) == 3.0


def test_a_step_that_waits_for_the_device_is_not_even_tried():
    tape = Tape(waits="it waits")
    step = CapturedStep(lambda x: x.sum(), tape)
    with pytest.warns(RuntimeWarning, match="goes on without: it waits") as said:
        losses = [float(step(torch.ones(n))) for n in (3, 2) for _ in range(WARM + 2)]
    assert losses == [3.0] * (WARM + 2) + [2.0] * (WARM + 2)
    assert tape.done == ["warm"] * (WARM - 1) + ["rehearse"] + ["warm"] * (WARM + 4)
    assert len(said) == 1


def test_where_capture_is_refused_it_says_so_once_and_goes_on_without():
    tape = Tape(refuse="operation not permitted when stream is capturing")
    step = CapturedStep(lambda x: x.sum(), tape)
    with pytest.warns(RuntimeWarning, match="not captured as a CUDA graph, and goes on without: operation not permitted") as said:
        losses = [float(step(torch.ones(n))) for n in (3, 2) for _ in range(WARM + 2)]
    assert losses == [3.0] * (WARM + 2) + [2.0] * (WARM + 2)
    assert tape.done.count("capture") == len(said) == 1
    assert step.refused


def test_memory_that_does_not_suffice_is_no_refusal():
    def full(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    tape = Tape()
    tape.capture = full
    step = CapturedStep(lambda x: x.sum(), tape)
    for _ in range(WARM):
        step(torch.ones(3))
    with pytest.raises(torch.OutOfMemoryError):
        step(torch.ones(3))


def test_no_more_shapes_are_captured_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(graphs, "MOST", 2)
    tape = Tape()
    step = CapturedStep(lambda x: x.sum(), tape)
    for n in (1, 2, 3):
        for _ in range(WARM + 2):
            assert float(step(torch.ones(n))) == n
    assert tape.done.count("capture") == 2
    assert tape.done[-1] == "warm"


def looped(name, recorder, epochs, *, falling):
    torch.manual_seed(0)
    net = NETS[name](1)
    recipe = TrainingRecipe("bce", lr=0.01, batch=16, falling=falling, patience=9)
    best = Loop(net, recipe, Context(epochs=epochs), recorder=recorder).run(rows_of(300, longest=-2), rows_of(30, seed=1, longest=-2))
    return weights(net), best


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("falling", [False, True])
def test_a_training_whose_steps_are_replayed_is_the_one_whose_steps_are_taken(name, falling, monkeypatch):
    """Growing batches, a falling rate and the average's own rate are what a graph could freeze."""
    tape, never = Tape(), Tape()
    replayed, epochs = looped(name, tape, 6, falling=falling)
    assert tape.done.count("replay") > 10
    assert tape.done.count("capture") >= 2
    monkeypatch.setattr(graphs, "WARM", 10**9)
    taken, again = looped(name, never, 6, falling=falling)
    assert set(never.done) == {"warm"}
    assert torch.equal(replayed, taken)
    assert again == epochs
    (eager, _), (first, _) = (looped(name, recorder, 1, falling=falling) for recorder in (None, Tape()))
    assert (eager - first).abs().mean() < 1e-5, "in a graph the rates are 32-bit numbers"


def test_fused_steps_can_be_replayed_too():
    def trained(recorder):
        members = [member("lstm", k, {"epochs": 4}, falling=True) for k in range(3)]
        Fused(members, recorder).run(rows_of(150, longest=-3), None)
        return torch.stack([weights(one.net) for one in members])

    tape = Tape(dtype=torch.float64)
    assert torch.equal(trained(None), trained(tape))
    assert tape.done.count("replay") > 3


def test_the_averages_rate_in_a_graph_is_computed_where_the_weights_are():
    """A number that is read back would wait for the device; `meta` holds none that could be read."""
    mean = Average([torch.zeros(3, device="meta")], captured=True)
    mean.follow()
    assert mean.steps.device.type == "meta"
    there = Average([torch.ones(3)], captured=True)
    there.weights[0].zero_()
    there.follow()
    assert float(there.weights[0][0]) == pytest.approx(9 / 11)


def test_graphs_are_off_unless_they_are_asked_for_and_there_is_a_gpu(monkeypatch):
    monkeypatch.delenv(GRAPHS, raising=False)
    assert not wanted("cuda:0")
    monkeypatch.setenv(GRAPHS, "0")
    assert not wanted("cuda:0")
    monkeypatch.setenv(GRAPHS, "1")
    assert wanted("cuda:0")
    with pytest.warns(RuntimeWarning, match="no CUDA graphs on cpu; training goes on without"):
        assert not wanted("cpu")
