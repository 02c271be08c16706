import pytest


@pytest.fixture
def row():
    """Make a row of a churn board from what matters to a test."""

    def make(model, auc=None, behind=None, **more):
        values = {
            "task": "churn", "task_id": "churn/v1/h=28d", "dataset": "retail-sim", "simulated": True,
            "model": model, "tuning": "tuned", "seed": 0, "status": "ok" if auc is not None else "failed",
            "roc_auc": auc, "reference": "rfm-logit", "trials": 4, "n_test": 5000, "base_rate": 0.62, "horizon_days": 28.0,
        }  # fmt: skip
        if behind is not None:
            values |= dict(zip(("behind", "behind_low", "behind_high"), behind, strict=True))
        return values | more

    return make
