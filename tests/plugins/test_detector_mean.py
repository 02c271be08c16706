"""The mean of detectors: no member outvotes the others, channels are combined in units of one, members may be left out."""

from __future__ import annotations

import numpy as np
import pytest

from bench.api import Context
from bench.metrics.anomaly import row_standards
from bench_plugins.detector_mean import FEWER, DetectorMean, DetectorMeanWhole
from tests.plugins.test_anomaly_floors import UNTIL, panel, usual


def masks(x):
    real = x.mask
    return real, real & (np.arange(x.steps) < x.until[:, None])


def test_it_is_the_mean_of_its_members_in_deviations_of_their_prefix():
    x = panel(usual())
    real, learnt = masks(x)
    each = [row_standards(member({}).predict(x, Context()), real, learnt) for member in DetectorMean.members]
    np.testing.assert_allclose(DetectorMean({}).predict(x, Context()), np.where(real, 1 + np.mean(each, axis=0), 0), rtol=1e-12)


@pytest.mark.parametrize("model", [DetectorMean, DetectorMeanWhole])
def test_the_mean_over_a_prefix_is_one_whatever_the_units(model):
    found = model({"seasons": 0.1} if model is DetectorMeanWhole else {}).predict(panel(1e6 * usual()), Context())
    np.testing.assert_allclose(found[:, :UNTIL].mean(axis=1), 1.0, atol=0.2 if model is DetectorMeanWhole else 1e-9)


@pytest.mark.parametrize("model", [DetectorMean, DetectorMeanWhole])
@pytest.mark.parametrize("change", ["level", "noise", "flat"])
def test_each_kind_of_change_stands_out(model, change):
    rows = usual(2)
    at = slice(95, 110)
    rows[0, at] = {"level": rows[0, at] + 3, "noise": rows[0, at] + np.random.default_rng(1).normal(0, 2, 15), "flat": 9.0}[change]
    score = model({}).predict(panel(rows), Context())
    usual_score = model({}).predict(panel(usual(2)), Context())
    assert score[0, 95:115].max() > usual_score[0, 95:115].max() + 1
    np.testing.assert_allclose(score[1], usual_score[1])


@pytest.mark.parametrize("without", [name for name in FEWER if name != "none"])
def test_a_member_that_is_left_out_has_no_part(without, monkeypatch):
    asked = []
    for model in (DetectorMean, DetectorMeanWhole):
        for member in model.members:
            monkeypatch.setattr(member, "predict", lambda self, inputs, _: asked.append(self.name) or np.zeros(inputs.values.shape))
        model({"without": without}).predict(panel(usual()), Context())
    assert not set(asked) & set(FEWER[without])
    assert "sub-pca" in asked
