"""Windows of a panel that are laid out once give a network what those give that are made batch by batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from neural.test_panels import LEVELS, QUICK, panel, weekly

from bench.neural import forecasting
from bench.neural.batches import batches
from bench.neural.forecasting import ForecastEncoder


def encoder_and_panel(kind: str):
    values = weekly(6, 150)
    if kind == "ragged":
        values[np.arange(150) < np.arange(0, 150, 25)[:, None]] = np.nan
    made = panel(values)
    return ForecastEncoder.fit(made, QUICK), made


@pytest.mark.parametrize("kind", ["whole", "ragged"])
def test_features_are_the_same_whether_kept_or_made_anew(kind, monkeypatch):
    encoder, made = encoder_and_panel(kind)
    monkeypatch.setattr(forecasting, "CHUNK", 100)
    kept = encoder.training_rows(made, QUICK)
    monkeypatch.setattr(forecasting, "KEPT", 0)
    lazy = encoder.training_rows(made, QUICK)
    assert (kept.lengths == lazy.lengths).all()
    np.testing.assert_array_equal(kept.target, lazy.target)
    for batch in batches(kept.lengths, 32, seed=0):
        (one, length), (other, again) = kept.padded(batch), lazy.padded(batch)
        assert one.shape == other.shape
        assert (length == again).all()
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_features_that_are_kept_are_made_once(monkeypatch):
    encoder, made = encoder_and_panel("whole")
    calls = []
    own = forecasting.Contexts.features
    monkeypatch.setattr(forecasting.Contexts, "features", lambda *given: (calls.append(1), own(*given))[1])
    rows = encoder.training_rows(made, QUICK)
    begun = len(calls)
    for _ in range(3):
        rows.padded(np.arange(8))
    assert begun == len(calls) > 0
    assert encoder.quantiles == list(LEVELS)


def test_a_step_is_a_target_twice_in_an_epoch_of_a_large_panel():
    made = panel(weekly(40, 400))
    rows = ForecastEncoder.fit(made, QUICK).training_rows(made, replace(QUICK, rows=None))
    assert len(rows) * 7 == pytest.approx(2 * 40 * 400, rel=0.01)
