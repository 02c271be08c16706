"""Which search is soonest as good as the first one was after twenty fits? Ways to begin and to go on, replayed in one process.

    python tests/benchmarks/bench_replay.py [--log retail --seed 61 --base 1] [--model arima] [--way "portfolio of 7"]

Each simulated churn log has one validation here, the latest. The old search is the author's default, three points spread over the space,
then TPE; its mark is the best score of its twenty trials. For each way: how many fits until its best trial, or the mean of the
default and the best two, is as good (21: not within twenty). The portfolio is learnt without any log of the same simulator.
Models that search fast stand for all; a fit is made once, whoever asks for it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from churn_boards import LOGS

from bench.api import Context
from bench.data.ragged import Array
from bench.execute.jobs import stable_seed, trial_seed
from bench.registry import discover, models
from bench.tasks.base import Split
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES
from bench.tune import search
from bench.tune.portfolio import _stored_portfolio, chosen, utilities

TASK, FITS = Churn(), 20
NEVER = FITS + 1
NAMES = {"retail": "retail-sim", "netflix": "ratings-sim", "social": "social-sim"}
USERS = 800
Point = tuple[Mapping[str, Any], float]
Ask = Callable[["Pair", Sequence[Point], int, int], list[dict[str, Any]]]
"""A pair, the finished trials, the batch and a seed to the next batch of parameters."""


@dataclass
class Pair:
    """One model on one log's latest validation."""

    log: str
    model: str
    split: Split
    kind: Any
    space: Mapping[str, str]
    default: Mapping[str, Any]
    scored: dict[tuple[str, int], tuple[float, Array]] = field(default_factory=dict)

    def fitted(self, params: Mapping[str, Any], seed: int) -> tuple[float, Array]:
        """Fit once; return the validation's score and P(churn)."""
        key = (repr(sorted(params.items())), seed)
        if key not in self.scored:
            stage, own, profile = self.split.stages["search"], self.kind(dict(params)), PROFILES["short"]
            about = Context(seed=seed, epochs=profile.epochs, history=profile.history, rows=profile.rows, **self.split.context)
            own.fit(stage.train, about)
            p = np.asarray(own.predict(stage.parts[0], about), float)
            self.scored[key] = self.score(p), p
        return self.scored[key]

    def score(self, p: Array) -> float:
        """Score on the validation."""
        return TASK.objectives(self.split, "search", [{"prediction": p}])["tuned"][0].value


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", action="append", choices=LOGS)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--model", action="append")
    parser.add_argument("--base", type=int, action="append")
    parser.add_argument("--way", action="append", choices=WAYS)
    given = parser.parse_args()
    ways = given.way or list(WAYS)
    found: dict[str, list[tuple[int, int]]] = {way: [] for way in ways}
    for pair in pairs(given.log or LOGS, given.seed or (61, 62), given.model or ("rfm-logit", "rfm-lightgbm", "arima")):
        for base in given.base or (1, 2, 3):
            goal = max(score for score, _ in trials(pair, old, base))
            for way in ways:
                found[way].append(fits_until(pair, trials(pair, WAYS[way], base), goal))
            print(
                f"{pair.log:12} {pair.model:14} {base} goal {goal:.4f}  " + " ".join(f"{found[way][-1][0]:3d}" for way in ways), flush=True
            )
    for way, each in found.items():
        stands, best = np.array(each).T
        words = f"what stands: median {np.median(stands):g}, mean {stands.mean():.1f}, not reached {(stands == NEVER).sum()}"
        print(f"{way:28} {len(each)} searches; {words}; best trial alone: median {np.median(best):g}")


def pairs(logs: Sequence[str], seeds: Sequence[int], names: Sequence[str]) -> list[Pair]:
    """Make the logs and the models."""
    made = []
    for seed in seeds:
        for adapter in logs:
            source = discover().dataset(adapter)
            with tempfile.TemporaryDirectory() as folder:
                source.simulate(Path(folder), USERS, seed)
                split = TASK.split(source.read(Path(folder), {}), {}, PROFILES["short"], 0)
            for model in names:
                kind = models(discover().sources["bench.models"][model])[model]
                import optuna

                space = {name: optuna.distributions.distribution_to_json(d) for name, d in kind.space().items()}
                made.append(Pair(f"{adapter}-{seed}", model, split, kind, space, kind.default()))
    return made


def trials(pair: Pair, ask: Ask, base: int) -> list[tuple[float, Array]]:
    """Spend the fits; return each trial's score and prediction, the default first."""
    finished: list[Point] = []
    found = []
    seed = stable_seed(base, stable_seed(pair.log, pair.model))
    for batch in range(FITS // search.BATCH):
        for params in ask(pair, finished, batch, seed):
            found.append(pair.fitted(params, trial_seed(base, len(found))))
            finished.append((params, found[-1][0]))
    return found


def fits_until(pair: Pair, found: Sequence[tuple[float, Array]], goal: float) -> tuple[int, int]:
    """Count the fits until a search is as good as the goal: what stands, and its best trial alone."""
    best, stands = NEVER, NEVER
    for n in range(1, len(found) + 1):
        order = sorted(range(n), key=lambda at: (-found[at][0], at))
        if found[order[0]][0] >= goal - 1e-12:
            best, stands = min(best, n), min(stands, n)
        few = order[:3] if 0 in order[:3] else [*order[:2], 0]
        if n >= 3 and stands > n and pair.score(np.mean([found[at][1] for at in few], axis=0)) >= goal - 1e-12:
            stands = n
    return stands, best


def known(pair: Pair, size: int) -> list[Mapping[str, Any]]:
    """Return the portfolio without any log of the pair's simulator."""
    scored = _stored_portfolio()["churn"][pair.model]
    logs = [log for log in scored["logs"] if not log["data"].startswith(NAMES[pair.log.partition("-")[0]])]
    return [scored["params"][at] for at in chosen(utilities(logs), size)]


def by_tpe(pair: Pair, finished: Sequence[Point], batch: int, seed: int, portfolio: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ask as a run does."""
    return search.ask(pair.space, pair.default, list(finished), batch, seed=seed, portfolio=portfolio)


def old(pair: Pair, finished: Sequence[Point], batch: int, seed: int) -> list[dict[str, Any]]:
    """Spread three points, then TPE."""
    return by_tpe(pair, finished, batch, seed, ())


def begun_with(size: int, then: Ask = old) -> Ask:
    """Begin with the default and a portfolio of this size, as far as there is one."""

    def ask(pair: Pair, finished: Sequence[Point], batch: int, seed: int) -> list[dict[str, Any]]:
        firsts = [dict(pair.default), *(dict(p) for p in known(pair, size) if dict(p) != dict(pair.default))]
        firsts += search.spread(pair.space, seed, search.BATCH)[: -len(firsts) % search.BATCH]
        own = firsts[batch * search.BATCH : (batch + 1) * search.BATCH]
        return own or then(pair, finished, batch, seed)

    return ask


def near_the_best(width: float, share: float = 1.0) -> Ask:
    """Draw around the best three, a normal step in the unit cube; the rest of each batch by TPE."""

    def ask(pair: Pair, finished: Sequence[Point], batch: int, seed: int) -> list[dict[str, Any]]:
        import optuna

        rng = np.random.default_rng(stable_seed(seed, batch))
        best = sorted(finished, key=lambda point: -point[1])[:3]
        kinds = {name: optuna.distributions.json_to_distribution(text) for name, text in sorted(pair.space.items())}
        found = []
        for k in range(round(share * search.BATCH)):
            params = best[k % len(best)][0]
            found.append({name: search.at(kind, _moved(kind, params[name], rng, width)) for name, kind in kinds.items()})
        return [*found, *by_tpe(pair, finished, batch, seed, ())][: search.BATCH]

    return ask


def _moved(kind: Any, value: Any, rng: np.random.Generator, width: float) -> float:
    """Return the share of a value in its distribution after a normal step, reflected at the borders; a category is drawn anew at times."""
    if not hasattr(kind, "low"):
        at = (list(kind.choices).index(value) + 0.5) / len(kind.choices)
        return float(rng.random()) if rng.random() < width else at
    low, high, x = (np.log(v) if kind.log else float(v) for v in (kind.low, kind.high, value))
    at = (x - low) / (high - low) + rng.normal(0, width)
    at = abs(at) if at < 0 else at
    at = 2 - at if at > 1 else at
    return float(np.clip(at, 0, 1 - 1e-9))


def by_gp(pair: Pair, finished: Sequence[Point], batch: int, seed: int) -> list[dict[str, Any]]:
    """Ask Optuna's Gaussian processes."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.GPSampler(seed=stable_seed(seed, batch), n_startup_trials=search.STARTUP)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    kinds = {name: optuna.distributions.json_to_distribution(text) for name, text in pair.space.items()}
    study.add_trials([optuna.trial.create_trial(params=dict(p), distributions=kinds, value=v) for p, v in finished])
    return [dict(study.ask(kinds).params) for _ in range(search.BATCH)]


WAYS: dict[str, Ask] = {
    "old": old,
    "portfolio of 3": begun_with(3),
    "portfolio of 7": begun_with(7),
    "portfolio of 11": begun_with(11),
    "3, then near the best .1": begun_with(3, near_the_best(0.1)),
    "3, then near the best .2": begun_with(3, near_the_best(0.2)),
    "7, then near the best .1": begun_with(7, near_the_best(0.1)),
    "3, half near the best .1": begun_with(3, near_the_best(0.1, 0.5)),
    "3, then Gaussian processes": begun_with(3, by_gp),
}


if __name__ == "__main__":
    main()
