"""ALS: factors of users and items for implicit feedback; a history is folded in as a user of its own.

Source: Hu, Koren and Volinsky (2008); the fit is that of the library `implicit`.
"""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from bench.api import Array, Context, Model, Params, hookimpl
from bench.data.ranking import NextInputs, NextTrain

from ._next_floor import NextFloor, items_of_history

SWEEPS = 15


class ALS(NextFloor):
    """Weighted matrix factorisation by alternating least squares."""

    name = "als"
    requires = ("implicit",)
    deterministic = False

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the number of factors, the penalty and the weight of what was taken."""
        return {
            "factors": IntDistribution(8, 64, log=True),
            "penalty": FloatDistribution(1e-3, 10.0, log=True),
            "weight": FloatDistribution(1.0, 100.0, log=True),
        }

    @staticmethod
    def default() -> Params:
        """Take 32 factors."""
        return {"factors": 32, "penalty": 0.1, "weight": 10.0}

    def fit(self, train: NextTrain, ctx: Context) -> None:
        """Alternate on the binary matrix of users and items."""
        from implicit.cpu.als import AlternatingLeastSquares
        from scipy import sparse
        from threadpoolctl import threadpool_limits

        # the library has threads of its own, and warns where those of the algebra beneath would multiply them
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self.params["factors"], regularization=self.params["penalty"], alpha=self.params["weight"],
                iterations=SWEEPS, num_threads=ctx.threads, random_state=ctx.seed % 2**31, use_cg=False,
                # in single precision the penalty is lost where there are fewer items than factors, and the solver gives up
                dtype=np.float64,
            )  # fmt: skip
            model.fit(sparse.csr_matrix(items_of_history(train)), show_progress=False)
        self.state = {"factors": np.asarray(model.item_factors, np.float32)}

    def scores(self, inputs: NextInputs) -> Array:
        """Solve each row's factors by least squares and multiply: (Y'Y + (w - 1) Y_h'Y_h + p) u = w Y_h' 1."""
        items, had, weight = self.state["factors"], items_of_history(inputs), self.params["weight"]  # [I, F], [n, I]
        f = items.shape[1]
        common = items.T @ items + self.params["penalty"] * np.eye(f, dtype=np.float32)
        own = had @ (items[:, :, None] * items[:, None]).reshape(-1, f * f)  # [n, F * F]
        left = common + np.float32(weight - 1.0) * own.reshape(-1, f, f)
        right = np.float32(weight) * (had @ items)
        own_factors = np.linalg.solve(left, right[:, :, None])[:, :, 0].astype(np.float64)  # [n, F]
        # rounded only at the end: a product of one row is summed in another order than that of many, and near ties would swap
        return np.asarray(own_factors @ items.T.astype(np.float64), np.float32)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Offer the model."""
    return [ALS]
