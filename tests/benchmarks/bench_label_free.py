"""When may a search without labels replace a detector's default? On simulated boards, of anomalies that no injection makes among them.

    python tests/benchmarks/bench_label_free.py FOLDER --seed 1 2 3 --sorts single            # search, and store what is known of each
    python tests/benchmarks/bench_label_free.py FOLDER --seed 11 12 13 14 15 16 --sorts mixed
    python tests/benchmarks/bench_label_free.py FOLDER --told --seed 1 2 11 12                # count what each rule makes of them
    python tests/benchmarks/bench_label_free.py FOLDER --run RUN                              # judge the searches of a finished run

Each search is run as `bench run` does (twenty trials). Of its default, of the best trial and of the means that might stand, all that
may be known without labels is stored, and what came of it on test. What FOLDER holds is not made again. Of a finished run what
each search found is asked what confirms it, fitted for the test, and compared with the default; nothing else is fitted.
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from anomaly_boards import Board, boards
from label_free_evidence import Asked, agreed, occasions, told
from label_free_rules import SEED, View, in_deviations, replay, tell
from optuna.distributions import distribution_to_json

from bench.api import Array, Context
from bench.data.panel import Panel
from bench.execute.jobs import stable_seed, trial_seed
from bench.execute.task_space import default_of, space_of
from bench.metrics.anomaly import row_standards
from bench.metrics.volume import pooled, vus_of
from bench.registry import discover, models
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import Split
from bench.tasks.profiles import PROFILES
from bench.tune import search

MODELS = ("detector-mean", "detector-mean-whole", "sub-pca", "sub-pca-whole", "matrix-profile", "rolling-ecod", "rolling-ecod-whole")
TRIALS = 20
PROFILE = PROFILES["short"]
STANDS: Mapping[str, tuple[str, ...]] = {
    "default": ("default",),
    "first": ("first",),
    "two": ("default", "first"),
    "three": ("default", "first", "second"),
    "half": ("default", "default", "first", "second"),
}
"""What may stand for a search -> what it is the mean of."""


@dataclass
class Pair:
    """One search: what stands -> question -> a number for each entity, [N]."""

    board: str
    world: str
    sort: str
    model: str
    told: dict[str, dict[str, Array]] = field(default_factory=dict)
    test: dict[str, Array] = field(default_factory=dict)
    trials: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", nargs="+", default=MODELS)
    parser.add_argument(
        "--sorts", choices=("all", "mixed", "single"), default="all", help="boards of mixed sorts of anomalies, or of one each"
    )
    parser.add_argument("--told", action="store_true", help="count what each rule makes of what FOLDER holds")
    parser.add_argument("--without", default="", metavar="MODEL", help="leave a model out of what is counted")
    parser.add_argument("--run", type=Path, help="a finished anomaly run")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.run:
        replay(given.run)
        return
    if given.told:
        stored = (pickle.loads(file.read_bytes()) for file in sorted(given.folder.glob("*.pkl")))  # written by this script
        tell([p for p in stored if int(p.board.rsplit("-", 1)[1]) in given.seed and p.model != given.without])
        return
    for seed in given.seed:
        for board in boards(seed):
            if given.sorts == "all" or (board.sort == "mixed") == (given.sorts == "mixed"):
                pairs(given.folder, board, given.model)


def pairs(folder: Path, board: Board, names: Sequence[str]) -> None:
    """Search one board with every model that has not searched it."""
    split: Split | None = None
    for model in names:
        file = folder / f"{board.name}-{model}.pkl"
        if file.is_file():
            continue
        begun = time.monotonic()
        split = split or board.make()
        file.write_bytes(pickle.dumps(searched(split, board, model)))
        print(f"{file.stem}: {time.monotonic() - begun:.1f} s", flush=True)


class Detector:
    """A configuration that is fitted and asked in this process."""

    def __init__(self, split: Split, kind: Any, params: Mapping[str, Any], train: Panel, seed: int) -> None:
        self.split, self.kind = split, kind
        self.about = Context(seed=seed, epochs=PROFILE.epochs, history=PROFILE.history, rows=PROFILE.rows, **split.context)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - as a worker does
        self.model = kind(params)
        self.model.fit(train, self.about)

    def asked(self, inputs: Panel) -> Array:
        return np.asarray(self.model.predict(inputs, self.about), np.float64)


def finished(split: Split, view: Any, score: Array, *, causal: bool) -> Array:
    """Bring scores into their final form."""
    one = replace(split, truths={"asked": View(view)})
    return np.asarray(Anomaly().finished(one, "asked", [{"prediction": score}], causal=causal).prediction[0]["prediction"])


def standard(view: Any, score: Array) -> Array:
    """Bring finished scores to the scale on which they are averaged."""
    return row_standards(score, view.mask, np.stack([view.learnt(n) for n in range(len(score))]))


def searched(split: Split, board: Board, model: str) -> Pair:
    """Search, and learn everything that a rule may ask."""
    kind = models(discover().sources["bench.models"][model])[model]
    space = {name: distribution_to_json(each) for name, each in space_of(kind, "anomaly").items()}
    default, stage, truth = dict(default_of(kind, "anomaly")), split.stages["search"], split.truths["search"]
    trials: list[tuple[dict[str, Any], float]] = []
    asked_seed = stable_seed(split.task_id, board.name, model)
    while len(trials) < TRIALS:
        for params in search.ask(space, default, trials, len(trials) // search.BATCH, seed=asked_seed, size=search.BATCH):
            one = Detector(split, kind, params, stage.train, trial_seed(0, len(trials)))
            scores = [
                {"prediction": finished(split, view, one.asked(part), causal=kind.causal)}
                for part, view in zip(stage.parts, truth.draws, strict=False)
            ]
            trials.append((params, truth.search_score(scores).value))
    return compared(split, Pair(board.name, board.world, board.sort, model, trials=len(trials)), kind, trials)


def compared(split: Split, pair: Pair, kind: Any, trials: Sequence[tuple[Mapping[str, Any], float]]) -> Pair:
    """Ask everything of the default, and of the two trials that the injections like best."""
    order = sorted(range(len(trials)), key=lambda n: (-trials[n][1], n))
    seeds = dict(zip(("default", "first", "second"), (0, *[n for n in order if n]), strict=False))

    def fitted(train: Panel, seed: int | None = None) -> dict[str, Detector]:
        return {who: Detector(split, kind, trials[n][0], train, trial_seed(0, n) if seed is None else seed) for who, n in seeds.items()}

    def scores(view: Any, detectors: Mapping[str, Detector], inputs: Panel) -> dict[str, Array]:
        return {who: finished(split, view, one.asked(inputs), causal=kind.causal) for who, one in detectors.items()}

    for name, when in occasions(split, SEED).items():
        detectors = fitted(when.train)
        for asked in when.asked:
            keep(pair, split, asked, scores(asked.view, detectors, asked.inputs), f"{name}/{asked.name}")
    stage, truth = split.stages["search"], split.truths["search"]
    detectors = fitted(stage.train)
    for number, (part, view) in enumerate(zip(stage.parts, truth.draws, strict=False)):
        keep(pair, split, Asked("search", part, view), scores(view, detectors, part), f"search/{number}")
    ending = split.stages["final"]
    pair.test = tested(split, fitted(ending.train, trial_seed(0, 0)))
    return pair


def tested(split: Split, detectors: Mapping[str, Detector]) -> dict[str, Array]:
    """Score on test what may stand, entity by entity, float64 [N]: a mean is taken as a final fit takes it, before scores are smoothed."""
    final, inputs = split.truths["final"], split.stages["final"].parts[0]
    raw = {who: one.asked(inputs) for who, one in detectors.items()}
    scaled = {who: in_deviations(inputs, one) for who, one in raw.items()}
    causal, found = next(iter(detectors.values())).kind.causal, {}
    for what, members in STANDS.items():
        score = raw[what] if len(members) == 1 else np.asarray(np.mean([scaled[m] for m in members if m in scaled], axis=0))
        done = finished(split, final, score, causal=causal)
        found[what] = np.array([_volume(y, s, final.buffer) for y, s, _ in final.parts(done)])
    return found


def standing(view: Any, raw: Mapping[str, Array]) -> dict[str, Array]:
    """Average scores in units of their own, as a row is."""
    scaled = {who: standard(view, one) for who, one in raw.items()}
    return {
        what: raw["default"] if what == "default" else np.asarray(np.mean([scaled[m] for m in members if m in scaled], axis=0))
        for what, members in STANDS.items()
    }


def keep(pair: Pair, split: Split, asked: Asked, raw: Mapping[str, Array], name: str) -> None:
    """Store what one question tells of all that may stand."""
    found = standing(asked.view, raw)
    for what, score in found.items():
        pair.told.setdefault(what, {})[name] = told(split, asked, score)
        if name.endswith("//0"):  # how far it moves away from the default
            pair.told[what][f"{name}-moved"] = agreed(asked.view, score, found["default"])


def _volume(y: Array, score: Array, buffer: int) -> float:
    return float(vus_of(pooled([(y, score)], buffer), np.ones((1, 1)), ("vus_pr",))["vus_pr"][0]) if y.any() and not y.all() else np.nan


if __name__ == "__main__":
    main()
