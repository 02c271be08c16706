"""Models that are fitted as one program: in each task each learns what it learns by itself in that way, or says why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from plugins.network_kit import QUICK, RECURRENT, TASKS, TINY, answer, data, shoppers, users  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from bench.api import Context  # noqa: E402
from bench.neural import together  # noqa: E402
from bench.neural.cells import FusedError  # noqa: E402
from bench.neural.together import fit_together  # noqa: E402
from bench.neural.training import DivergedError  # noqa: E402
from bench.registry import discover, models  # noqa: E402

SOURCES = discover().sources["bench.models"]
PARAMS = {"lstm": RECURRENT, **TINY}


def models_of(name, count, **more):
    kind = models(SOURCES[name])[name]
    free = "beta" if name == "vae" else "dropout"
    return [kind({**PARAMS[name], "lr": 0.002 * (1 + k), free: 0.1 * (1 + k % 4), **more}) for k in range(count)]


def contexts(count, **more):
    return [replace(QUICK, seed=k, **more) for k in range(count)]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["lstm", "self-attention", "vae"])
def test_each_learns_in_company_what_it_learns_by_itself(name, task):
    train, inputs = data(task)
    several, ctx = models_of(name, 3), contexts(3, epochs=7 if task == "forecasting" else 2)
    assert [e.error for e in fit_together(several, train, ctx)] == [None] * 3
    (own,) = models_of(name, 3)[1:2]
    fit_together([own], train, ctx[1:2])
    found, expected = answer(several[1], inputs), answer(own, inputs)
    assert np.isfinite(found).all()
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
    assert not np.allclose(found, answer(several[2], inputs), rtol=1e-3)


def test_what_was_fitted_together_is_stored_and_loaded_as_ever(tmp_path):
    train, inputs = data("churn")
    several = models_of("lstm", 2)
    fit_together(several, train, contexts(2))
    several[0].save(tmp_path)
    again = models_of("lstm", 1)[0]
    again.load(tmp_path)
    assert (answer(again, inputs) == answer(several[0], inputs)).all()


def test_a_pattern_is_learnt_as_well_as_one_after_another():
    train, test = users(800, shortest=2), users(400, seed=1, shortest=2)
    several = models_of("lstm", 3, lr=0.01)
    ended = fit_together(several, train, contexts(3, epochs=15))
    assert min(roc_auc_score(test.y, answer(m, test)) for m in several) > 0.9
    assert all(e.epochs > 2 for e in ended)


def test_one_that_diverges_has_its_reason_and_the_others_their_networks():
    train, inputs = data("churn")
    several = models_of("vae", 3)
    several[1].params["lr"] = 1e30
    ended = fit_together(several, train, contexts(3))
    assert isinstance(ended[1].error, DivergedError)
    assert np.isfinite(answer(several[0], inputs)).all()


def test_a_forecaster_whose_time_is_up_in_its_second_training_keeps_the_network_of_the_first():
    train, inputs = data("forecasting")

    def answered(steps):
        told, asked = [], []

        class Late(Context):
            def should_stop(self):
                asked.extend([1] * (len(told) >= 7))
                return len(asked) > steps

        late = Late(**{**vars(QUICK), "epochs": 7, "on_report": lambda *_: told.append(1)})
        several = models_of("lstm", 2)
        ended = fit_together(several, train, [late, replace(QUICK, seed=1, epochs=7)])
        assert [e.error for e in ended] == [None, None]
        return [answer(model, inputs) for model in several]

    (at_once, its), (soon, same), (never, too) = (answered(steps) for steps in (0, 2, 10**9))
    assert np.array_equal(at_once, soon)
    assert not np.allclose(never, soon, rtol=1e-3)
    assert np.allclose(its, same, rtol=1e-3, atol=1e-3)
    assert np.array_equal(same, too)


def test_where_memory_does_not_suffice_each_is_fitted_alone_and_has_its_own_reason(monkeypatch):
    sizes, whole = [], together.Fused

    class Small(whole):
        def __init__(self, members):
            sizes.append(len(members))
            if len(members) > 1 or members[0].ctx.seed == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(members)

    train, inputs = data("churn")
    expected = models_of("lstm", 3)
    fit_together(expected, train, contexts(3))
    monkeypatch.setattr(together, "Fused", Small)
    several = models_of("lstm", 3)
    with pytest.warns(RuntimeWarning, match="3 lstm do not fit into memory together; each is fitted alone"):
        ended = fit_together(several, train, contexts(3))
    assert sizes == [3, 1, 1, 1]
    assert [type(e.error) for e in ended] == [type(None), type(None), torch.OutOfMemoryError]
    assert np.abs(answer(several[1], inputs) - answer(expected[1], inputs)).max() < 1e-3
    with pytest.raises(torch.OutOfMemoryError):
        fit_together(models_of("lstm", 3)[2:], train, contexts(3)[2:])


def test_models_that_are_shown_different_things_or_pretrain_are_refused():
    lstm, vae = models_of("lstm", 2), models_of("vae", 1)
    with pytest.raises(FusedError, match="only models of one kind"):
        fit_together([*lstm, *vae], users(80), contexts(3))
    lstm[1].params["context"] = "features"
    with pytest.raises(FusedError, match="these lstm are shown different things"):
        fit_together(lstm, shoppers(80), contexts(2))
    with pytest.raises(FusedError, match="seq2seq first learns how sequences go on"):
        fit_together(models_of("seq2seq", 2), users(80), contexts(2))


def test_one_user_is_enough():
    several = models_of("lstm", 2)
    ended = fit_together(several, users(1, seed=5, shortest=3), contexts(2))
    assert [e.epochs for e in ended] == [0, 0]
    assert np.isfinite(answer(several[0], users(3))).all()
