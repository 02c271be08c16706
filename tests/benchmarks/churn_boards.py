"""Boards of churn for questions about what is done with predictions: which to combine, whether to calibrate them.

Every model stands at its default and is fitted before each validation and before the test, as `bench run` does. The predictions are
stored, so that a rule is tried in seconds. Boards are made of simulated logs: as they are, with events thinned out
over time so that churn rates drift, and with labels given, where users and not time are split. A log of one's own, or a
finished run, gives boards too.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from bench_drift import thinned
from bench_tuning import COMBINED, splits

from bench.api import Context
from bench.data.events import Events
from bench.data.ragged import Array
from bench.errors import BenchError
from bench.execute.prediction_files import read_prediction
from bench.registry import discover, models
from bench.sources.load import loaded, requested
from bench.tasks.base import RankingRule, Split, Truth
from bench.tasks.churn.task import Churn
from bench.tasks.lookup import task_named
from bench.tasks.profiles import PROFILES

LOGS = ("retail", "netflix", "social")
MODELS = (
    "rfm-logit", "rfm-lightgbm", "gbm", "bgnbd", "paretonbd", "arima", "state-space", "frequency", "recency", "vae",
)  # fmt: skip
SEEDS = tuple(range(51, 57))
SIZES = (500, 1000, 2000)
"""Users of a simulated log, one seed after the other; three times as many where labels are given, of whom a fifth is tested."""
SLOPES = {"steady": 0.0, "rising": 2.0, "falling": -2.0}
"""How events are thinned out over time (see `bench_drift`)."""


@dataclass(frozen=True)
class Asked:
    """One model on one board."""

    model: str
    valid: Mapping[str, Array]
    """Stage -> P(churn), the latest validation first."""
    finals: Sequence[Array]
    """P(churn) on test, one array a seed."""


@dataclass(frozen=True)
class Board:
    """Labels by stage, in a split that can be scored, and the predictions of all models."""

    name: str
    family: str
    split: Split
    asked: Sequence[Asked]


def boards(folder: Path, kinds: Sequence[str], seeds: Sequence[int] = SEEDS) -> Iterator[Board]:
    """Yield the simulated boards, `kinds` of them (of `SLOPES`, or `given`); what `folder` holds is not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for adapter in LOGS:
            for kind in kinds:
                file = folder / f"{adapter}-{kind}-{seed}.npz"
                if not file.is_file():
                    begun = time.monotonic()
                    made = simulated(adapter, kind, seed)
                    _store(file, made)
                    print(f"made {file.stem} in {time.monotonic() - begun:.0f} s", flush=True)
                board = _stored(file, adapter)
                if board.asked:
                    yield board


def logs(folder: Path, given: Sequence[str], options: Mapping[str, str]) -> Iterator[Board]:
    """Yield a board of each given log, ADAPTER=PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    registry = discover()
    for request in requested(tuple(given), None, registry, holds=("events",)) if given else ():
        log = loaded(request, registry, {}, size=PROFILES["short"].users, seed=0)
        file = folder / ("-".join([log.name, *(f"{k}={v}" for k, v in sorted(options.items()))]) + ".npz")
        if not file.is_file():
            _store(file, of_split(Churn().splits(log.data, options, PROFILES["short"], 0, simulated=False)[0]))
        yield _stored(file, log.name)


def of_run(run: Path, *, every: bool = False) -> Iterator[Board]:
    """Yield the boards of a finished run, nothing corrected: of each model the tuned rows if any, or of `every` tuning."""
    config = json.loads((run / "run.json").read_text())["config"]
    files, choices = pl.read_parquet(run / "predictions.parquet"), pl.read_parquet(run / "choices.parquet")
    for split, name in splits(config, task_named(config["task"])()):
        here = (pl.col("task_id") == split.task_id) & (pl.col("dataset") == name)
        own, stands = files.filter(here & ~pl.col("model").is_in(COMBINED)), choices.filter(here)
        asked = []
        for model in own["model"].unique(maintain_order=True):
            tunings = sorted(own.filter(model=model)["tuning"].unique(), reverse=True)  # tuned before default
            for tuning in tunings if every else tunings[:1]:
                valid = json.loads(stands.filter(model=model, tuning=tuning)["files"].item())
                finals = [file.replace(f"-{tuning}.npz", ".npz") for file in own.filter(model=model, tuning=tuning).sort("seed")["file"]]
                asked.append(Asked(model, {s: _read(run, file) for s, (file, _) in valid.items()}, [_read(run, file) for file in finals]))
        yield Board(name, name, split, asked)


def simulated(adapter: str, kind: str, seed: int) -> tuple[Split, list[Asked]] | None:
    """Make one simulated log and ask all models; None where it is too short for a split."""
    source = discover().dataset(adapter)
    with tempfile.TemporaryDirectory() as folder:
        source.simulate(Path(folder), SIZES[seed % len(SIZES)] * (3 if kind == "given" else 1), seed)
        events = source.read(Path(folder), {})
    if slope := SLOPES.get(kind, 0.0):
        events = thinned(events, slope)
    try:
        split = Churn().split(events, {}, PROFILES["short"], 0)
        if kind == "given":
            split = Churn().split(with_labels(events, split), {}, PROFILES["short"], 0)
    except BenchError:
        return None
    return None if split.reason else of_split(split)


def with_labels(events: Events, split: Split) -> Events:
    """Cut a log at the test's cut-off and give it the labels of the test."""
    cutoff = datetime.fromisoformat(split.facts["test_cutoff"])
    labels = pl.DataFrame({"user": list(split.members["user"]), "y": split.truths["final"].y, "cutoff": cutoff})
    frame = events.frame.filter(pl.col("time").dt.replace_time_zone(None) < cutoff)
    return Events.build(frame, name=events.name, activity=events.activity, labels=labels, horizon=f"{split.columns['horizon_days']:g}d")


def of_split(split: Split) -> tuple[Split, list[Asked]]:
    """Fit the default of every model on each stage and keep what it predicts."""
    about = Context(epochs=PROFILES["short"].epochs, history=PROFILES["short"].history, rows=PROFILES["short"].rows, **split.context)
    asked = []
    for model in MODELS:
        kind, found = models(discover().sources["bench.models"][model])[model], {}
        for name, stage in split.stages.items():
            own = kind(kind.default())
            own.fit(stage.train, about)
            found[name] = np.asarray(own.predict(stage.parts[0], about), float)
        final = found.pop("final")
        asked.append(Asked(model, found, [final]))
    return split, asked


def _store(file: Path, made: tuple[Split, Sequence[Asked]] | None) -> None:
    if made is None:
        np.savez(file)
        return
    split, asked = made
    arrays = {f"y/{s}": t.y for s, t in split.truths.items()} | {f"group/{s}": t.group for s, t in split.truths.items()}
    arrays |= {f"valid/{one.model}/{s}": p for one in asked for s, p in one.valid.items()}
    arrays |= {f"final/{one.model}/{k}": p for one in asked for k, p in enumerate(one.finals)}
    np.savez(file, eligible=np.array(str(split.facts.get("eligible", "h"))), **arrays)


def _stored(file: Path, family: str) -> Board:
    with np.load(file) as held:
        arrays = {name: held[name] for name in held.files}
    eligible = str(arrays.pop("eligible", "h"))
    stages = [name[2:] for name in arrays if name.startswith("y/")]
    truths = {s: Truth(arrays[f"y/{s}"], arrays[f"group/{s}"]) for s in stages}
    facts = {"eligible": eligible, "train_rate": 0.5, "last_rate": 0.5}
    split = Split("churn", {}, truths, facts, ranking=RankingRule("roc_auc", reference="rfm-logit"))
    asked: dict[str, Asked] = {}
    for name, p in arrays.items():
        kind, _, rest = name.partition("/")
        model, _, at = rest.partition("/")
        one = asked.setdefault(model, Asked(model, {}, [])) if kind in {"valid", "final"} else None
        if one is not None and kind == "valid":
            one.valid[at] = p  # type: ignore[index]
        elif one is not None:
            one.finals.append(p)  # type: ignore[attr-defined]
    return Board(file.stem, family, split, list(asked.values()))


def _read(run: Path, file: str) -> Array:
    return np.asarray(read_prediction(run / file)[0]["prediction"])
