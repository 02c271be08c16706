"""Count what rules make of searches without labels, and judge those of a finished run by the rule that is used today."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench_tuning import DRAWS, boards_of, over_pairs
from label_free_evidence import OTHERS, SPLICES, Occasion, occasions, told

from bench.api import Array, Context
from bench.data.panel import Panel
from bench.execute.jobs import trial_seed
from bench.metrics.anomaly import row_standards
from bench.metrics.bootstrap import draws, interval, poisson_draws
from bench.registry import discover, models
from bench.runs.check_prediction import RESAMPLED
from bench.tasks.base import LABEL_FREE, REPLICATES, Split, Stage, Task
from bench.tasks.profiles import Profile, profile
from bench.tune.decide import ERRORS, FEW, LEAST, few_best, replaces, standing
from bench.tune.trials import Difference, Trial, difference

OTHER_LEAST, SEED = 0.03, 101
WORLDS = {"metrics and sensors": ("metric", "sensor"), "users": ("log",)}


def advantage(pair: Any, what: str, names: Sequence[str]) -> Difference:
    """Return what some questions say of what stands, against the default; the error is over entities, drawn in pairs."""
    own, base = (np.array([pair.told[who][name] for name in names]) for who in (what, "default"))
    known = np.isfinite(own) & np.isfinite(base)
    apart = np.where(known, own - base, 0.0).sum(axis=0)[known.any(axis=0)] / known.sum(axis=0)[known.any(axis=0)]
    return over_entities(apart)


def over_entities(apart: Array) -> Difference:
    """Average over entities [N]."""
    if not len(apart):
        return Difference(0.0, math.inf)
    weights = np.concatenate(list(poisson_draws(np.arange(len(apart)), 200, 0)))
    weights = weights[weights.sum(axis=1) > 0]
    return Difference(float(apart.mean()), float((weights @ apart / weights.sum(axis=1)).std()))


def asked(pair: Any, what: str, kinds: Sequence[str]) -> Difference:
    """Return what injections of some kinds, drawn anew, say."""
    return advantage(pair, what, [n for n in pair.told[what] for kind in kinds if n.startswith(f"late/{kind}/")])


def past(pair: Any, what: str) -> Difference:
    """Return what the search's own injections say."""
    return advantage(pair, what, [n for n in pair.told[what] if n.startswith("search/")])


Rule = Callable[[Any, str], bool]


def alone(errors: float, least: float, pair: Any, what: str) -> bool:
    """Ask the search's own injections alone."""
    own = past(pair, what)
    return own.exceeds(errors) and own.mean > least


def with_agreement(least: float, pair: Any, what: str) -> bool:
    """Ask beside them that scores agree with simple floors no less than the default's do."""
    return alone(ERRORS, least, pair, what) and advantage(pair, what, ["late//0"]).mean >= 0


def confirmed(kinds: Sequence[str], least: float, pair: Any, what: str) -> bool:
    """Ask other kinds too: the mean of both, and neither a loss."""
    own, other = past(pair, what), asked(pair, what, kinds)
    return replaces(own, other) and (own.mean + other.mean) / 2 > least


def both(least: float, pair: Any, what: str) -> bool:
    """Ask other kinds and agreement."""
    return confirmed(OTHERS, least, pair, what) and advantage(pair, what, ["late//0"]).mean >= 0


RULES: Mapping[str, Rule] = {
    "its own injections, 1.5 errors": partial(alone, 1.5, 0.0),
    "the same, 3 errors": partial(alone, 3.0, 0.0),
    "the same, 1.5 errors and .03": partial(alone, 1.5, 0.03),
    "the same, 1.5 errors and .05": partial(alone, 1.5, 0.05),
    "the same, 1.5 errors and .07": partial(alone, 1.5, 0.07),
    "the same, 1.5 errors, and no loss of agreement": partial(with_agreement, 0.0),
    "the same, and .05": partial(with_agreement, 0.05),
    "the mean of both, noise, flat and bot": partial(confirmed, OTHERS, 0.0),
    "the same, and .02": partial(confirmed, OTHERS, 0.02),
    "the same, and .03": partial(confirmed, OTHERS, 0.03),
    "the same, and .04": partial(confirmed, OTHERS, 0.04),
    "the same, and .03, and no loss of agreement": partial(both, 0.03),
    "the mean of both, spliced behaviour, and .03": partial(confirmed, SPLICES, 0.03),
    "the mean of both, all of these, and .03": partial(confirmed, (*OTHERS, *SPLICES), 0.03),
}
STAND = {
    "first": "the best trial alone",
    "three": "default and two best alike",
    "two": "default and best",
    "half": "default, and two best as much as it",
}


BEFORE = "three", "its own injections, 1.5 errors"
TODAY = "half", f"the same, 1.5 errors and {LEAST:.2f}".replace("0.", ".")


def tell(pairs: Sequence[Any]) -> None:
    """Print a Markdown row for each rule and what might stand."""
    counts = " | ".join(f"{words}, {sum(p.world in worlds for p in pairs)} searches" for words, worlds in WORLDS.items())
    print(f"| stands | rule | {counts} |\n" + "| --- " * (2 + len(WORLDS)) + "|")
    for what, words in STAND.items():
        for name, rule in RULES.items():
            cells = [counted([p for p in pairs if p.world in worlds], what, rule) for worlds in WORLDS.values()]
            print(f"| {words} | {name} | " + " | ".join(cells) + " |", flush=True)

    for words, worlds in WORLDS.items():
        apart = [_gained(p, *TODAY) - _gained(p, *BEFORE) for p in pairs if p.world in worlds]
        print(f"today beside before, a search, {words}: {over_pairs(np.array(apart))}")


def _gained(pair: Any, what: str, name: str) -> float:
    """Return what one search gains on test by a rule; 0 where the default stays."""
    apart = pair.test[what] - pair.test["default"]
    return float(np.nanmean(apart)) if RULES[name](pair, what) and np.isfinite(apart).any() else 0.0


def counted(pairs: Sequence[Any], what: str, rule: Rule) -> str:
    """Count what a rule replaces, and what becomes of it on test."""
    gains, beyond = [], 0
    for pair in pairs:
        apart = pair.test[what] - pair.test["default"]
        apart = apart[np.isfinite(apart)]
        if rule(pair, what) and len(apart):
            gains.append(float(apart.mean()))
            weights = np.concatenate(list(draws(np.arange(len(apart)), DRAWS, 7)))
            beyond += bool(np.percentile(weights @ apart / weights.sum(axis=1), 97.5) < 0)
    found = np.array(gains)
    return f"{len(found)}: {(found > 0).sum()}, {(found < 0).sum()} ({beyond}), {found.sum() / max(len(pairs), 1):+.4f}"


# A finished run


def replay(run: Path) -> None:
    """Judge its searches without labels again: as before, as today, and where other kinds of injections are asked too."""
    moved: dict[str, list[tuple[float, float]]] = {"before": [], "today": [], "other kinds too": []}
    pairs, caps = 0, profile(json.loads((run / "run.json").read_text())["config"]["profile"])
    for board, dataset, model, trials in _searches(run):
        pairs += 1
        few = few_best(trials, LABEL_FREE, board.split.ranking, FEW)
        if few == trials[:1]:
            continue
        fits = _Fits(board.task, board.split, model, caps)
        near = standing(few, trials[0], LABEL_FREE)
        was, now = (difference(fits.scored(group), fits.scored([trials[0]]), LABEL_FREE, higher=True) for group in (few, near))
        other = fits.by_other_kinds(near, trials[0])
        stands = {
            "before": (few, was.exceeds(ERRORS)),
            "today": (near, now.exceeds(ERRORS) and now.mean > LEAST),
            "other kinds too": (near, replaces(now, other) and (now.mean + other.mean) / 2 > OTHER_LEAST),
        }
        print(f"{dataset:18} {model:20} before {_words(was)}, today {_words(now)}, other kinds {_words(other)}", end="")
        for rule, (group, replaced) in stands.items():
            if replaced:
                gain, low, high = fits.gain(group, trials[0])
                moved[rule].append((gain, high))
                print(f"; {rule}: test {gain:+.4f} ({low:+.4f} to {high:+.4f})", end="")
        print(flush=True)
    for rule, found in moved.items():
        gains = np.array([gain for gain, _ in found])
        beyond = sum(high < 0 for _, high in found)
        print(
            f"{rule}: {pairs} pairs, {len(found)} replaced, {(gains > 0).sum()} better, {(gains < 0).sum()} worse, {beyond} beyond, "
            f"mean gain {over_pairs(gains)}, a pair {gains.sum() / pairs:+.4f}"
        )


def _words(one: Difference) -> str:
    return f"{one.mean:+.4f} ± {one.error:.4f}"


def _searches(run: Path) -> Iterator[tuple[Any, str, str, list[Trial]]]:
    """Yield the trials of every search of a run, as far as choosing needs them."""
    rows = pl.read_parquet(run / "trials.parquet").sort("number").to_dicts()
    for board, dataset in boards_of(run):
        own = [r for r in rows if (r["task_id"], r["dataset"]) == (board.split.task_id, dataset)]
        for model in dict.fromkeys(r["model"] for r in own):
            trials = []
            for row in (r for r in own if r["model"] == model):
                entry = {"status": row["status"], "scores": json.loads(row["scores"])}
                trials.append(Trial(row["number"], json.loads(row["params"]), {"search": entry}))  # type: ignore[dict-item]
            yield board, dataset, model, trials


class _Fits:
    """Configurations of one model on one board, each fitted once for a stage."""

    def __init__(self, task: Task, split: Split, model: str, caps: Profile) -> None:
        self.task, self.split, self.model, self.caps = task, split, model, caps
        self.kind = models(discover().sources["bench.models"][model])[model]
        self.known: dict[tuple[str, int], Any] = {}

    @cached_property
    def late(self) -> Occasion:
        """Return what is asked of the ends of the prefixes."""
        return occasions(self.split, SEED)["late"]

    def predicted(self, trial: Trial, name: str) -> Any:
        """Return a configuration's finished scores."""
        scores = [{"prediction": one} for one in self.raw(trial, name)]
        return self.task.finished(self.split, name, scores, causal=self.kind.causal).prediction

    def raw(self, trial: Trial, name: str) -> Any:
        """Fit a configuration, once, and ask about each part."""
        if (name, trial.number) not in self.known:
            caps, stage = self.caps, self.split.stages[name]
            parts = stage.parts[: len(self.split.truths[name].draws)] if name == "search" else stage.parts
            seed = 0 if name == "final" else trial_seed(0, trial.number)
            about = Context(seed=seed, epochs=caps.epochs, history=caps.history, rows=caps.rows, **self.split.context)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - as a worker does
            one = self.kind(trial.params)
            one.fit(stage.train, about)
            self.known[name, trial.number] = [np.asarray(one.predict(part, about), np.float64) for part in parts]
        return self.known[name, trial.number]

    def mean(self, group: Sequence[Trial], name: str) -> Any:
        """Return the mean as a run takes it: on validation of finished scores, in a final fit before they are smoothed."""
        if len(group) == 1 or name != "final":
            each = [self.predicted(t, name) for t in group]
            return each[0] if len(each) == 1 else self.task.averaged(self.split, name, each).prediction
        (inputs,) = self.split.stages[name].parts
        raw = [in_deviations(inputs, self.raw(t, name)[0]) for t in group]
        score = {"prediction": np.asarray(np.mean(raw, axis=0))}
        return self.task.finished(self.split, name, [score], causal=self.kind.causal).prediction

    def scored(self, group: Sequence[Trial]) -> Trial:
        """Score the mean of a group by the search's own injections."""
        one = self.split.truths["search"].search_score(self.mean(group, "search"))
        drawn = np.concatenate([one.score(w) for w in poisson_draws(one.group, REPLICATES, RESAMPLED)])
        entry: Any = {"status": "ok", "scores": {LABEL_FREE: [one.value]}, "replicates": {LABEL_FREE: drawn}}
        return Trial(group[0].number, {}, {"search": entry})

    def by_other_kinds(self, group: Sequence[Trial], default: Trial) -> Difference:
        """Compare with the default by injections of other kinds; what was learnt is the same."""
        apart = []
        for part in self.late.asked:
            if part.name.split("/")[0] in OTHERS:
                split = replace(self.split, stages={part.name: Stage(self.late.train, (part.inputs,))}, truths={part.name: View(part.view)})
                there = _Fits(self.task, split, self.model, self.caps)
                apart.append(np.subtract(*(told(split, part, there.mean(g, part.name)[0]["prediction"]) for g in (group, [default]))))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an entity without room for any
            mean = np.nanmean(apart, axis=0)
        return over_entities(mean[np.isfinite(mean)])

    def gain(self, group: Sequence[Trial], default: Trial) -> tuple[float, float, float]:
        """Compare with the default on test, with a 95 % interval over entities."""
        who = self.split.truths["final"].group
        both_ = [self.task.scorer(self.split, self.mean(one, "final")) for one in (group, [default])]
        point = [float(s.score(np.ones((1, len(who))))["vus_pr"][0]) for s in both_]
        drawn = [np.concatenate([s.score(w)["vus_pr"] for w in draws(who, DRAWS, 7)]) for s in both_]
        return point[0] - point[1], *interval(drawn[0] - drawn[1])


def in_deviations(inputs: Panel, score: Array) -> Array:
    """Write raw scores in deviations of the steps learnt from, as `bench.execute.mean_of` does."""
    step = np.arange(inputs.mask.shape[1])
    learnt = inputs.mask & (step >= inputs.start[:, None]) & (step < inputs.until[:, None])
    return row_standards(score, inputs.mask, learnt)


class View:
    """Let a task finish predictions of a part that its split does not have."""

    def __init__(self, own: Any) -> None:
        self.own = own

    def view(self, part: int) -> Any:
        """Return what is known of it."""
        return self.own
