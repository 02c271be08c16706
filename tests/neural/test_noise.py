"""Random numbers of a training's own: what they depend on, how they are spread, and that nothing changes where none are open."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from scipy import stats  # noqa: E402

from bench.neural.noise import FEW, LEVELS, Dropout, drawn_from, dropped, mixed, normal_like, step_keys, uniform_like  # noqa: E402

X = torch.zeros(200, 50, dtype=torch.float64)


def key(seed=0, step=0):
    return step_keys(torch.tensor([seed]), torch.tensor(step))[0]


def drawn(*keys, draw=uniform_like):
    found = []
    for each in keys:
        with drawn_from(each):
            found.append(draw(X))
    return found


def test_the_hash_is_splitmix64s():
    # the first outputs of the published generator with the seed 1234567 (Vigna's splitmix64.c)
    golden = 0x9E3779B97F4A7C15 - 2**64
    found = [int(mixed(torch.tensor(1234567) + torch.tensor(n) * golden)) % 2**64 for n in (1, 2, 3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_a_draw_depends_on_seed_step_and_call_alone():
    one, same, other_step, other_seed = drawn(key(1, 2), key(1, 2), key(1, 3), key(2, 2))
    assert torch.equal(one, same)
    with drawn_from(key(1, 2)):
        first, second = uniform_like(X), uniform_like(X)
    assert torch.equal(first, one)
    for other in (other_step, other_seed, second):
        assert abs(float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])) < 0.04


def test_uniform_and_normal_numbers_are_spread_as_their_names_say():
    (u,), (z,) = drawn(key(3)), drawn(key(3), draw=normal_like)
    assert 0 <= float(u.min()) < float(u.max()) < 1
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > 0.01
    rows = u.numpy()
    assert abs(stats.pearsonr(rows[:, :-1].ravel(), rows[:, 1:].ravel())[0]) < 0.04, "neighbours know nothing of each other"


def test_under_vmap_each_member_draws_what_it_draws_alone():
    keys = step_keys(torch.arange(3), torch.tensor(7))

    def own(one):
        with drawn_from(one):
            return torch.stack([uniform_like(X), normal_like(X)])

    assert torch.equal(torch.vmap(own)(keys), torch.stack([own(one) for one in keys]))


def test_dropout_keeps_the_mean_and_none_keeps_all():
    ones = torch.ones_like(X)
    with drawn_from(key()):
        some, none, every = (dropped(ones, torch.tensor(share, dtype=torch.float64)) for share in (0.3, 0.0, 1.0))
    assert torch.equal(none, ones)
    assert float((some == 0).double().mean()) == pytest.approx(0.3, abs=0.02)
    assert float(some.max()) == pytest.approx(1 / 0.7)
    assert float(every.abs().max()) == 0.0


@pytest.mark.parametrize("share", [1e-6, 0.1, 0.5, 0.9, 1 - 1e-6])
def test_dropout_on_a_cpu_drops_its_share_keeps_the_mean_and_is_the_same_for_a_seed(share):
    ones, drop = torch.ones(4 * FEW, 25, requires_grad=True), Dropout(share).train()
    torch.manual_seed(3)
    out = drop(ones)
    torch.manual_seed(3)
    assert torch.equal(out, drop(ones))
    assert not torch.equal(out, drop(ones)) or share in (1e-6, 1 - 1e-6)
    rounded = min(round(share * LEVELS), LEVELS - 1) / LEVELS
    assert set(out.detach().unique().tolist()) <= {0.0, torch.tensor(1 / (1 - rounded)).item()}
    for lane in range(4):  # each of the places that share a number
        n = ones.numel() / 4
        assert float((out.flatten()[lane::4] == 0).double().mean()) == pytest.approx(
            rounded, abs=5 * (rounded * (1 - rounded) / n) ** 0.5 + 1e-12
        )
    (gradient,) = torch.autograd.grad(out.sum(), ones)
    assert torch.equal(gradient, out.detach()), "what is dropped learns nothing"


def test_dropout_of_few_places_or_none_is_torchs():
    few, many = torch.ones(FEW - 1), torch.ones(FEW)
    torch.manual_seed(1)
    expected = torch.nn.functional.dropout(few, 0.3)
    torch.manual_seed(1)
    assert torch.equal(Dropout(0.3)(few), expected)
    assert Dropout(0.3).eval()(many) is many
    assert torch.equal(Dropout(0.0)(many), many)
    assert float(Dropout(1.0)(many).abs().max()) == 0.0
    assert Dropout(0.5)(torch.ones(FEW + 3)).shape == (FEW + 3,)


def test_where_no_stream_is_open_torch_draws_as_ever():
    torch.manual_seed(5)
    expected = torch.randn_like(X)
    torch.manual_seed(5)
    assert torch.equal(normal_like(X), expected)
