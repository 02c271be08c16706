"""What plugin authors import: the model and dataset contracts, and the inputs that a model is given.

Letters for shapes: E events, N rows (a user at a cut-off), S static aggregates.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import pluggy

from bench.data import feature_names
from bench.data.panel import Forecast, Panel
from bench.data.ragged import hashed, spans
from bench.errors import PluginError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from bench.data.events import Events
    from bench.data.series import Series

hookimpl = pluggy.HookimplMarker("bench")

__all__ = [
    "FEATURES", "HOLDOUT", "LAW", "SIMULATION", "STATIC", "Array", "ArrayModel", "ChurnInputs", "ChurnTrain", "Context", "Dataset",
    "DatasetCard", "Forecast", "Insight", "Model", "Panel", "Params", "Runtime", "Sampler", "Value", "hookimpl",
]  # fmt: skip

Array: TypeAlias = npt.NDArray[Any]
Value: TypeAlias = bool | int | float | str | None
Params: TypeAlias = Mapping[str, Any]
Runtime: TypeAlias = Literal["none", "torch", "tensorflow"]

STATIC = tuple(feature_names.AGGREGATES)
"""Names of the static aggregates, in the order of the columns of `ChurnInputs.static`."""

FEATURES = tuple(feature_names.FEATURES)
"""Names of further columns, in the order of `ChurnInputs.features`; `bench list features` says what each is."""

HOLDOUT = 0.15
"""Share of the users that `ChurnTrain.holdout` keeps for early stopping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChurnInputs:
    """What a churn model may see: for each row, one user's past up to one cut-off.

    The events of row n are `[offsets[n], offsets[n + 1])`, oldest first. Events of one user that share time and
    kind are one step (an invoice of fifty lines is one purchase); `count` says how many were merged.
    """

    offsets: Array
    """int64 [N + 1]: where each row's events begin."""
    days_before_cutoff: Array
    """float32 [E]: days from the event to the row's cut-off, >= 0."""
    gap: Array
    """float32 [E]: days since the same user's previous step (0 for the first one ever)."""
    kind: Array
    """int16 [E]: index into `kinds`; 0 is a kind not seen before the first training cut-off."""
    value: Array
    """float32 [E]: summed value of the merged events; a missing value counts as 0."""
    count: Array
    """float32 [E]: number of merged events, >= 1."""
    static: Array
    """float64 [N, S]: aggregates over the user's whole past (never capped), named by `STATIC`."""
    cutoff: Array
    """float64 [N]: the cut-off in days since 1970-01-01 UTC."""
    group: Array
    """int64 [N]: the user, a number that means nothing else."""
    kinds: tuple[str, ...] = ("?",)
    """Names of the kinds; the first stands for all that are unknown."""
    features: Array = field(default_factory=lambda: np.zeros((0, len(FEATURES)), np.float32))
    """float32 [N, F]: more about the user's whole past (never capped), named by `FEATURES`; zeros where nobody filled them in."""

    item: Array = field(default_factory=lambda: np.zeros(0, np.uint32))
    """uint32 [I]: which items the merged events name, step after step, each as a hash of its id; empty where a log names none."""
    item_offsets: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    """int64 [E + 1]: where each step's items begin."""

    def __post_init__(self) -> None:
        """Fill in features and items that were left out."""
        if len(self.features) != len(self):
            object.__setattr__(self, "features", np.zeros((len(self), len(FEATURES)), np.float32))
        if len(self.item_offsets) != len(self.kind) + 1:
            if len(self.item):
                raise PluginError(f"{len(self.item_offsets)} item_offsets for {len(self.kind)} steps; take their items by `items_at`")
            object.__setattr__(self, "item_offsets", np.zeros(len(self.kind) + 1, np.int64))

    def __len__(self) -> int:
        """Return the number of rows, N."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Array:
        """Return the number of steps of each row, int64 [N]."""
        return np.diff(self.offsets)

    def column(self, name: str) -> Array:
        """Return one static aggregate or feature by name, float [N]."""
        return self.static[:, STATIC.index(name)] if name in STATIC else self.features[:, FEATURES.index(name)]

    def take(self, rows: Array) -> Any:
        """Select rows by index or mask, in the order given; a `ChurnTrain` stays one."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows)
        at, offsets = spans(self.offsets[rows], self.lengths[rows])
        per_event = {name: getattr(self, name)[at] for name in ("days_before_cutoff", "gap", "kind", "value", "count")}
        per_row = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name in ("static", "features", "cutoff", "group", "y")}
        return replace(self, offsets=offsets, **per_event, **per_row, **self.items_at(at))

    def items_at(self, steps: Array) -> dict[str, Any]:
        """Select the items of steps by index, int [E'], in the order given: `item` and `item_offsets`."""
        at, offsets = spans(self.item_offsets[steps], self.item_offsets[steps + 1] - self.item_offsets[steps])
        return {"item": self.item[at], "item_offsets": offsets}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChurnTrain(ChurnInputs):
    """Inputs with labels: what `fit` sees."""

    y: Array = field(default_factory=lambda: np.zeros(0, np.int8))
    """int8 [N]: 1 where the user churned (no activity in the horizon after the cut-off)."""
    everyone: Array = field(default_factory=lambda: np.zeros((0, len(STATIC))))
    """float64 [M, S]: `static` of everyone first seen before the latest cut-off, eligible or not (at most 50,000); empty where
    that is not known."""

    def holdout(self, seed: int) -> tuple[ChurnTrain, ChurnTrain]:
        """Split by user into (fit, holdout): 15 % of the *users*, chosen by a seeded hash, for early stopping."""
        held = hashed(self.group, seed) < HOLDOUT
        return self.take(~held), self.take(held)


@dataclass(frozen=True)
class Context:
    """How a model is to run: seed, device, threads, the task's horizon and loss, caps, and when to stop."""

    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    horizon: float = 28.0
    """Days (churn) or steps (forecasting)."""
    loss: str = "bce"
    epochs: int = 50
    """Most epochs that this profile allows."""
    history: int = 256
    """Longest input of a sequence model, in steps: events, the context of a forecast, a window."""
    rows: int | None = None
    """Most training windows that a model may cut from a panel; None: all."""
    quantiles: tuple[float, ...] = ()
    """Levels that a forecast is asked for, ascending."""
    deadline: float = float("inf")
    """On the clock of `time.monotonic`; after it the job is killed."""
    on_report: Callable[[int, float], None] | None = None
    on_epoch: Callable[[int, int, float], None] | None = None
    """Hears of each epoch of a training that tells how many it may take: it may end the training there."""
    on_stop: Callable[[], None] | None = None

    def should_stop(self) -> bool:
        """Return whether to wind down now; a model that trains in steps asks at each step."""
        stop = time.monotonic() >= self.deadline
        if stop and self.on_stop is not None:
            self.on_stop()
        return stop

    def report(self, step: int, value: float, of: int = 0) -> None:
        """Report how training goes (an epoch's holdout loss, say).

        `of`: the most epochs that it may take, where `value` is the holdout loss, lower is better, and may be compared
        between configurations; a search may then stop one that is far behind. Else the report is for display only.
        """
        if self.on_report is not None:
            self.on_report(step, float(value))
        if of and self.on_epoch is not None:
            self.on_epoch(step, of, float(value))


class Model(ABC):
    """A plugin: made with its parameters, fitted on `train`, asked for predictions; it knows nothing of leaderboards.

    Churn models get `ChurnTrain` and `ChurnInputs` and return P(churn), float [N], in [0, 1]. Forecasting models get a
    `Panel` up to the first cut-off in `fit`, and one up to each cut-off in `predict`, which returns a `Forecast` of the
    H steps after it. Anomaly models get the panel of all prefixes in `fit`, and prefixes with the steps to score behind
    them (from `until` on) in `predict`, which returns a score a step, float [N, T]: higher is more anomalous.
    """

    name: ClassVar[str]
    tasks: ClassVar[frozenset[str]]
    runtime: ClassVar[Runtime] = "none"
    version: ClassVar[str] = "1"
    requires: ClassVar[tuple[str, ...]] = ()
    """Modules that it imports when it runs, not when its file is read: where one is missing, its rows say how to get it."""
    deterministic: ClassVar[bool] = False
    """True: the seed changes nothing, one final fit is enough."""
    causal: ClassVar[bool] = True
    """An anomaly score of a step depends on no later step; offline models are ranked apart."""
    local: ClassVar[bool] = False
    """True: each series is fitted by itself, in `predict`; the core hands panels out in chunks to several workers."""

    def __init__(self, params: Params) -> None:
        self.params = dict(params)

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Return the search space as optuna distributions; empty: nothing to tune."""
        return {}

    @staticmethod
    def default() -> Params:
        """Return the author's default, a point of the space: trial 0 of every search."""
        return {}

    @classmethod
    def choices(cls, task: str) -> Mapping[str, Sequence[Value]]:
        """Return parameters that one task alone adds to the space: the choices of each, first the author's default."""
        return {}

    @abstractmethod
    def fit(self, train: Any, ctx: Context) -> None:
        """Learn from `train`, and from nothing else."""

    @abstractmethod
    def predict(self, inputs: Any, ctx: Context) -> Any:
        """Predict for each row of `inputs`; a row's answer must not depend on the rows beside it."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was learnt into `folder` (JSON, npz, safetensors, text: no pickle)."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read back what `save` wrote into a model made with the same parameters."""


@runtime_checkable
class Insight(Protocol):
    """A model that shows something of itself on its page: write the method, and it is asked after its last fit.

    It is asked in a worker, as for a prediction, and what it gives is drawn by the core: counts and means of many users,
    in which no single one is found again. Today churn models are asked.
    """

    def insight(self, inputs: Any, ctx: Context) -> Mapping[str, Array]:
        """Return what there is to show, each float: `{}` where there is nothing for this task.

        `embedding` [N, D], D from 2 to 512: where each row lies for the model, such as the mean of its latent; drawn as a map.
        `step_weights` [E], 0 or more: how much a row's answer rests on each of its steps, such as attention; drawn by age.
        """
        ...


class ArrayModel(Model):
    """A model whose learnt state is a dict of arrays, `self.state`: saving and loading come for free."""

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.state: dict[str, Array] = {}

    def save(self, folder: Path) -> None:
        """Write `state.npz`."""
        np.savez(folder / "state.npz", **self.state)  # type: ignore[arg-type]

    def load(self, folder: Path) -> None:
        """Read `state.npz`."""
        with np.load(folder / "state.npz", allow_pickle=False) as stored:
            self.state = {name: stored[name] for name in stored.files}


SIMULATION = "simulation.json"
"""The file in which a simulator writes its parameters, beside the data: the mark by which its folder is known."""
LAW = "law.parquet"
"""The file in which a simulator may write by what law it drew items: `user`, `start`, `item`, `weight`; see `bench.data.law`."""


@dataclass(frozen=True)
class DatasetCard:
    """Describe a data source for people: what it is, whose it is, what to beware of."""

    title: str
    licence: str
    source: str
    citation: str
    activity: tuple[str, ...]
    """Kinds that count as activity (a cancellation does not)."""
    traps: tuple[str, ...] = ()
    horizon: str = ""
    """Horizon of churn labels that come with the data (`10d`); empty: none come."""
    once: bool = False
    """A user takes an item once (a film is rated once): what they had is no question of what comes next."""


class Dataset(ABC):
    """An adapter: recognises a raw form, reads it as `Events`, and may simulate it."""

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    card: ClassVar[DatasetCard]
    options: ClassVar[Mapping[str, str]] = {}
    """Options that `read` knows, with a line of help each; `--set ADAPTER.KEY=VALUE` passes them."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Files that `read` also looks for beside the path it is given, or in folders above it (labels, titles)."""
    simulated_name: ClassVar[str] = ""
    """Name of the simulated data in leaderboards (`retail-sim`); empty: no simulator."""

    @abstractmethod
    def detect(self, path: Path) -> str | None:
        """Name the raw form that lies at `path` (a file or folder), or None where it is not this adapter's."""

    @abstractmethod
    def read(self, path: Path, options: Mapping[str, str]) -> Events | Series:
        """Read and clean the raw form; raise `DataError` that names file, column, row and cure."""

    def plain_name(self, path: Path) -> str:
        """Name data that is not recognised by its content: as simulated where a simulator left its mark, else by its stem."""
        if self.simulated_name and (path / SIMULATION).is_file():
            return self.simulated_name
        return path.resolve().name.split(".")[0] or path.name

    def simulate(self, folder: Path, size: int, seed: int) -> None:
        """Write a simulated log of `size` users into `folder`, in the raw form that `read` reads."""
        raise PluginError(f"{self.name} has no simulator; give a source with --source PATH")


class Sampler(Protocol):
    """Propose the trials of a search after its first batch, which is the default, what did well elsewhere, and spread points.

    It runs in the supervisor, knows spaces and scores alone, and keeps nothing between calls: the same arguments always give
    the same trials, or a run that was interrupted would go on with others.
    """

    name: ClassVar[str]

    def ask(
        self, space: Mapping[str, BaseDistribution], finished: Sequence[tuple[Params, float]], n: int, *, seed: int, higher: bool
    ) -> Sequence[Params]:
        """Return `n` trials inside `space`, a value for each of its names.

        `finished`: parameters and score of all earlier trials, in order, a failed one with a score worse than any other, those
        stopped at a rung left out;
        `higher`: higher scores are better. `seed` differs from batch to batch.
        """
