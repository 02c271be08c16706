"""A task of someone else's: will a user order again, and for more than the median of their orders so far? Two models come with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl

import bench
from bench.errors import ConfigError, ProtocolError
from bench.metrics.kinds import Metric
from bench.tasks.base import InferenceInputs, Objective, RankingRule, Split, Stage, Truth
from bench.tasks.new_data import inference_split

RANKING = RankingRule("above_brier", higher=False, reference="above-rate", penalty=1.0)
FEWEST = 3
"""Orders that a user needs for a median."""


class Squares:
    """The mean squared error of probabilities under any weights."""

    def __init__(self, y: np.ndarray, p: np.ndarray) -> None:
        self.error, self.right = (p - y) ** 2, (p > 0.5) == (y > 0)

    def score(self, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        total = weights.sum(1)
        return {"above_brier": weights @ self.error / total, "above_right": weights @ self.right / total}


class Above(bench.Task):
    """Ask at one cut-off about all users who have ordered three times: who is asked does not depend on what comes."""

    name = "above"
    unit = "users"
    metrics: ClassVar = {
        "above_brier": Metric("above_brier", False, "Brier score", 4, "mean squared error of P(above)"),
        "above_right": Metric("above_right", True, "share right", 4, "how often the likelier side came"),
    }
    rankings: ClassVar = {"": RANKING}
    options: ClassVar = {"share": "share of the log's time before the test (default 0.8)"}

    def splits(self, data: Any, options: Mapping[str, str], profile: Any, seed: int, *, simulated: bool) -> list[Split]:
        share = share_of(options.get("share", "0.8"))
        first, last = data.frame["time"].min(), data.frame["time"].max()
        fit, valid, test = (first + (last - first) * part for part in (share - 0.4, share - 0.2, share))
        cuts = {"search": (fit, valid, test), "final": (valid, test, None)}
        stages, truths, members = {}, {}, {}
        for name, (learnt, asked, end) in cuts.items():
            _, train, y = rows_at(data, learnt, asked)
            users, inputs, truth = rows_at(data, asked, end)
            stages[name], members[name] = Stage({**train, "y": y}, (inputs,)), users
            truths[name] = Truth(truth, np.arange(len(truth)))
            if not len(y) or not len(truth):
                raise ProtocolError(f"{data.name}: no user has {FEWEST} orders before {learnt}; give a longer log")
        known = {"search": moment(valid), "final": moment(test)}
        facts = {"test_cutoff": str(test), "n_test": len(members["final"])}
        return [
            Split(
                f"above/v1/share={share:g}/{profile.caps()}", stages, truths, facts,
                ranking=RANKING, columns={"n_test": len(members["final"])}, members={"user": members["final"]},
                known_until={name: (at, at) for name, at in known.items()},  # what the checks may change all events behind
            )
        ]  # fmt: skip

    def invalid(self, split: Split, stage: str, part: int, arrays: Mapping[str, np.ndarray]) -> str:
        p = arrays.get("prediction", np.zeros(0))
        wanted = len(split.stages[stage].parts[part]["recent"])
        return "" if p.shape == (wanted,) and np.isfinite(p).all() else f"predict returned {list(p.shape)}, expected {wanted} numbers"

    def objectives(self, split: Split, stage: str, prediction: Any) -> Mapping[str, Sequence[Objective]]:
        squares = Squares(split.truths[stage].y, prediction[0]["prediction"])
        return {"tuned": [Objective(split.truths[stage].group, lambda weights: squares.score(weights)["above_brier"])]}

    def scorer(self, split: Split, prediction: Any) -> Squares:
        return Squares(split.truths["final"].y, prediction[0]["prediction"])

    def inference_inputs(self, data: Any, run: Mapping[str, Any], options: Mapping[str, str], profile: Any) -> InferenceInputs:
        users, inputs, _ = rows_at(data, data.frame["time"].max(), None, label=False)
        return InferenceInputs(inputs, {"user": users}, inference_split(run, inputs, None))

    def answer_frame(self, asked: InferenceInputs, arrays: Mapping[str, np.ndarray]) -> pl.DataFrame:
        return pl.DataFrame({**asked.columns, "p_above": arrays["prediction"]})


def share_of(text: str) -> float:
    """Read the option; a wrong one is refused in one line."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.5 <= share <= 0.95:
        raise ConfigError(f"share={text!r} is no share of the log from 0.5 to 0.95")
    return share


def moment(time: Any) -> int:
    """Write a time as microseconds since 1970."""
    return int(pl.Series([time]).cast(pl.Datetime("us")).to_physical()[0])


def rows_at(data: Any, cut: Any, end: Any, *, label: bool = True) -> tuple[list[str], dict[str, np.ndarray], np.ndarray]:
    """Return users, the last orders over their median before a cut-off, [N, 3], and whether a next one comes and is above, [N]."""
    orders = data.frame.filter(pl.col("value") > 0).select(pl.col("user").cast(pl.String), "time", "value")
    before = orders.filter(pl.col("time") <= cut).group_by("user", maintain_order=True).agg("value")
    before = before.filter(pl.col("value").list.len() >= FEWEST).with_columns(median=pl.col("value").list.median())
    after = orders.filter(pl.col("time") > cut)
    after = after if end is None else after.filter(pl.col("time") <= end)
    if label:
        before = before.join(after.group_by("user").agg(next=pl.col("value").first()), on="user", how="left")
    before = before.sort("user")
    recent = np.array(before["value"].list.tail(FEWEST).to_list()).reshape(-1, FEWEST) / before["median"].to_numpy()[:, None]
    y = (before["next"] > before["median"]).fill_null(value=False).to_numpy().astype(np.int8) if label else np.zeros(len(before), np.int8)
    return before["user"].to_list(), {"recent": recent}, y


class AboveRate(bench.ArrayModel):
    """Everybody gets the share of those who were above."""

    name = "above-rate"
    tasks = frozenset({"above"})
    deterministic = True

    def fit(self, train: Any, ctx: bench.Context) -> None:
        self.state = {"rate": np.asarray(train["y"].mean() if len(train["y"]) else 0.5)}

    def predict(self, inputs: Any, ctx: bench.Context) -> np.ndarray:
        return np.full(len(inputs["recent"]), float(self.state["rate"]))


class AboveRecent(AboveRate):
    """The share of a user's last orders that were above, drawn towards everybody's."""

    name = "above-recent"

    @staticmethod
    def space() -> dict[str, Any]:
        from optuna.distributions import FloatDistribution

        return {"weight": FloatDistribution(0.0, 1.0)}

    @staticmethod
    def default() -> dict[str, float]:
        return {"weight": 0.2}

    def predict(self, inputs: Any, ctx: bench.Context) -> np.ndarray:
        w = self.params["weight"]
        return w * (inputs["recent"] > 1).mean(1) + (1 - w) * float(self.state["rate"])


@bench.hookimpl
def bench_tasks() -> list[type[bench.Task]]:
    return [Above]


@bench.hookimpl
def bench_models() -> list[type[bench.Model]]:
    return [AboveRate, AboveRecent]
