"""Trainings as one program: each member is what it is alone, to rounding, whatever its company and whatever becomes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from neural.fused_kit import HUNDRED, NETS, ONE_STEP, alone, member, rows_of, weights  # noqa: E402

from bench.api import Context  # noqa: E402
from bench.neural.batches import batches  # noqa: E402
from bench.neural.cells import FusedError  # noqa: E402
from bench.neural.fused import Fused, Member, aligned  # noqa: E402
from bench.neural.training import DivergedError, TrainingRecipe  # noqa: E402

every_net = pytest.mark.parametrize("name", NETS)


def fused(members, fit, held=None):
    program = Fused(members)
    return program.run(fit, held), program


@every_net
@pytest.mark.parametrize(("rows", "steps", "near"), [(ONE_STEP, 1, 1e-10), (HUNDRED, 100, 1e-8)])
def test_a_member_is_what_the_loop_makes_of_it_alone(name, rows, steps, near, monkeypatch):
    epochs = 1 if steps == 1 else 14
    members = [member(name, k, {"epochs": epochs}) for k in range(3)]
    _, program = fused(members, rows)
    assert steps <= int(program.step_number) < 1.5 * steps
    for k, one in enumerate(members):
        net, _ = alone(member(name, k, {"epochs": epochs}), rows, None, monkeypatch)
        untrained = weights(member(name, k).net)
        assert (weights(net) - untrained).abs().max() > 1e-4, "something was learnt"
        assert (weights(one.net) - weights(net)).abs().max() < near


@every_net
def test_the_holdout_chooses_the_same_epoch_as_in_the_loop(name, monkeypatch):
    held, told, expected = rows_of(40, seed=1, longest=-9), [], []

    def ctx(into):
        return {"epochs": 8, "on_report": lambda epoch, loss: into.append((epoch, loss))}

    one = member(name, 3, ctx(told), patience=2)
    others = [member(name, k, {"epochs": 8}, patience=2) for k in (0, 1)]
    ended, _ = fused([others[0], one, others[1]], HUNDRED, held)
    net, epochs = alone(member(name, 3, ctx(expected), patience=2), HUNDRED, held, monkeypatch)
    assert ended[1].epochs == epochs
    assert [e for e, _ in told] == [e for e, _ in expected]
    assert np.allclose([loss for _, loss in told], [loss for _, loss in expected], rtol=0, atol=1e-9)
    assert (weights(one.net) - weights(net)).abs().max() < 1e-8


@every_net
def test_a_member_is_the_same_among_1_7_and_64_and_in_any_order(name):
    fit = rows_of(60, longest=-9)

    def trained(numbers):
        members = {k: member(name, k) for k in numbers}
        fused(list(members.values()), fit)
        return {k: weights(one.net) for k, one in members.items()}

    every, seven = trained(range(64)), trained([40, 63, 5, 0, 31, 2, 9])
    backwards = trained(reversed(range(64)))
    for k in (0, 31, 63):
        (own,) = trained([k]).values()
        for company in (every, seven, backwards):
            assert (company[k] - own).abs().max() < 1e-10
    apart = torch.stack([every[k] for k in range(64)])
    assert torch.unique(apart, dim=0).shape[0] == 64, "no two are the same"


@every_net
def test_a_member_that_diverges_says_so_and_leaves_the_others_bit_for_bit(name):
    def trained(wild):
        members = [member(name, k) for k in range(4)]
        if wild:
            bad = members[2].net
            with torch.no_grad():
                next(bad.parameters()).fill_(torch.nan)
        before = weights(members[2].net)
        ended, _ = fused(members, HUNDRED, rows_of(30, seed=2, longest=-9))
        return [weights(one.net) for one in members], ended, before

    (calm, fine, _), (disturbed, ended, before) = trained(False), trained(True)
    for k in (0, 1, 3):
        assert torch.equal(calm[k], disturbed[k])
        assert (ended[k].error, ended[k].epochs) == (None, fine[k].epochs)
    assert isinstance(ended[2].error, DivergedError)
    assert "became nan in epoch 0; lower the learning rate" in str(ended[2].error)
    assert torch.equal(disturbed[2].isnan(), before.isnan()), "its network stays as it was"


class TooFarBehindError(BaseException):
    """What hears of epochs ends a training with."""


def test_whatever_ends_a_member_as_it_reports_ends_it_alone():
    def stop(epoch, _, __):
        if epoch == 1:
            raise TooFarBehindError

    def run(**heard):
        members = [member("lstm", k, {"epochs": 5, **(heard if k == 1 else {})}, patience=9) for k in range(3)]
        ended, _ = fused(members, HUNDRED, rows_of(30, seed=2, longest=-9))
        return ended, [weights(one.net) for one in members]

    (ended, found), (_, expected) = run(on_epoch=stop), run()
    assert isinstance(ended[1].error, TooFarBehindError)
    assert [e.error for e in (ended[0], ended[2])] == [None, None]
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[2], expected[2])


def test_one_that_is_told_to_stop_keeps_the_average_up_to_there_and_the_others_go_on():
    asked = []

    class Stopped(Context):
        def should_stop(self):
            asked.append(1)
            return len(asked) > 6

    def run(kind):
        members = [member("vae", k) for k in range(2)]
        members[0] = replace(members[0], ctx=kind(seed=100, epochs=2))
        return fused(members, HUNDRED)[0], [weights(one.net) for one in members]

    (ended, stopped), (whole, expected) = run(Stopped), run(Context)
    assert [e.stopped for e in ended] == [True, False]
    assert [e.stopped for e in whole] == [False, False]
    assert len(asked) == 7
    assert not torch.equal(stopped[0], expected[0])
    assert not torch.equal(stopped[0], weights(member("vae", 0).net))
    assert torch.equal(stopped[1], expected[1])


def test_when_all_have_been_told_to_stop_nothing_more_is_computed():
    members = [member("lstm", k, {"epochs": 50, "deadline": 0.0}) for k in range(2)]
    ended, program = fused(members, HUNDRED, HUNDRED)
    assert [e.stopped for e in ended] == [True, True]
    assert int(program.step_number) == 0
    assert torch.equal(weights(members[0].net), weights(member("lstm", 0).net))


def test_each_member_has_its_own_falling_rate_and_number_of_epochs(monkeypatch):
    recipe = {"falling": True, "rows": 0}
    epochs = (2, 5, 3)
    members = [member("lstm", k, {"epochs": most}, **recipe) for k, most in enumerate(epochs)]
    fused(members, HUNDRED)
    for k, most in enumerate(epochs):
        net, _ = alone(member("lstm", k, {"epochs": most}, **recipe), HUNDRED, None, monkeypatch)
        assert (weights(members[k].net) - weights(net)).abs().max() < 1e-9


def test_batches_of_two_seeds_hold_other_rows_of_the_same_lengths_place_by_place():
    lengths = HUNDRED.lengths
    cut = aligned(lengths, 32, [1, 2, 3], epoch=4)
    assert all((lengths[batch] == lengths[batch[0]]).all() for batch in cut)
    assert sorted(np.concatenate([batch[1] for batch in cut])) == list(range(len(lengths)))
    assert any((batch[0] != batch[1]).any() for batch in cut)
    alone_cut = aligned(lengths, 32, [2], epoch=4)
    assert all((one[1] == own[0]).all() for one, own in zip(cut, alone_cut, strict=True))
    turns = [[len(b) for b in batches(lengths, 32, seed=(2, 4), turn=turn)] for turn in (4, 5)]
    assert turns[0] != turns[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: replace(m, recipe=replace(m.recipe, batch=64)), "share batch size, loss and device"),
        (lambda m: replace(m, recipe=replace(m.recipe, loss="huber")), "share batch size, loss and device"),
        (lambda m: replace(m, net=torch.nn.Sequential(m.net)), "their layers"),
        (lambda m: replace(m, net=NETS["vae"](0).double()), "their layers|the kind of"),
    ],
)
def test_members_that_cannot_be_one_program_are_refused_with_the_reason(change, said):
    with pytest.raises(FusedError, match=said):
        Fused([member("lstm", 0), change(member("lstm", 1))])


class Scaled(torch.nn.Module):
    """Knows a number that is no tensor, and draws in a way that one program cannot."""

    def __init__(self, scale=1.0, width=3, *, kept=False, tied=False, draws=False):
        super().__init__()
        self.scale, self.draws = scale, draws
        self.dense, self.write = torch.nn.Linear(6, width), torch.nn.Linear(width, 1)
        if kept:
            self.norm = torch.nn.BatchNorm1d(3)
        if tied:
            self.rnn = torch.nn.GRU(6, 6, batch_first=True)
            self.again = torch.nn.Sequential(self.rnn)

    def forward(self, x, length):
        h = self.dense(x[:, 0]) * self.scale
        return self.write(h + torch.rand_like(h) if self.draws else h)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({}, {"scale": 2.0}, "networks of Scaled differ in scale"),
        ({}, {"width": 4}, "networks of Scaled differ in dense"),
        ({"kept": True}, {"kept": True}, "keeps more than weights .*norm"),
        ({"tied": True}, {"tied": True}, "shares layers between its parts"),
    ],
)
def test_networks_that_differ_in_more_than_tensors_are_refused(one, other, said):
    members = [Member(Scaled(**own), TrainingRecipe("bce"), Context()) for own in (one, other)]
    with pytest.raises(FusedError, match=said):
        Fused(members)


def test_a_network_with_weights_that_do_not_learn_is_refused():
    net = Scaled()
    net.dense.weight.requires_grad_(requires_grad=False)
    with pytest.raises(FusedError, match="weights that do not learn"):
        Fused([Member(net, TrainingRecipe("bce"), Context())])


def test_a_network_that_draws_by_torchs_generator_is_refused_at_its_first_step():
    members = [Member(Scaled(draws=True), TrainingRecipe("bce", rows=1), Context(epochs=1)) for _ in range(2)]
    with pytest.raises(FusedError, match=r"Scaled cannot be trained as one program with others: .*random"):
        Fused(members).run(HUNDRED, None)


def test_members_whose_batches_grow_share_their_number_of_epochs():
    members = [member("vae", k, {"epochs": 2 + k}, rows=0) for k in range(2)]
    with pytest.raises(FusedError, match="share their number of epochs"):
        Fused(members).run(HUNDRED, None)
