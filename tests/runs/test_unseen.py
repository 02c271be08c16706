"""What a search found is confirmed on unseen users: in workers that know nothing of them, resumable, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from execute.kit import Done, cell_of, described, drive, executor_in, odd, searching, tiny_split

from bench.execute.mean_of import configurations
from bench.execute.prediction_files import read_prediction
from bench.publish.proven import _not_better
from bench.runs.run_events import JobStarted
from bench.tasks.base import OLDER, RESEEDED, RankingRule, Split, is_unseen
from bench.tune.plan import TOGETHER, UNSEEN, Budget

HALVES = ("unseen-1", "unseen-2")
LATER = (OLDER, RESEEDED)


def split_with(names: tuple[str, ...], *, confirmed: bool) -> Split:
    """Add stages on which what does better on the past does so again, or else the contrary."""
    split, stages, truths = tiny_split(), {}, {}
    for seed, name in enumerate(names, 1):
        other = tiny_split(seed)
        stages[name], truth = other.stages["search"], other.truths["search"]
        truths[name] = truth if confirmed else replace(truth, y=1 - truth.y)
    return replace(split, stages={**split.stages, **stages}, truths={**split.truths, **truths})


@dataclass(frozen=True)
class Submitted:
    """One job as the executor was handed it."""

    stage: str
    final: bool
    fresh: bool


def run(folder: Path, workers: int = 1, *, confirmed: bool = True, names: tuple[str, ...] = HALVES) -> tuple[Done, list[Submitted]]:
    """Search with a model whose default looks at nothing, and note what the executor is handed."""
    folder.mkdir(exist_ok=True)
    plugin = odd(
        folder,
        "better",
        **searching(0.0),
        predict="x = self.params['x']; z = inputs.static; return 1 / (1 + np.exp(-x * z[:, 0] - (1 - x) * z[:, 1]))",
    )
    split, handed = split_with(names, confirmed=confirmed), []
    stage_of = {stage.digest: name for name, stage in split.stages.items()}
    with executor_in(folder / "scratch", workers) as executor:
        submit = executor.submit

        def noted(*arguments: Any, **more: Any) -> bool:
            handed.append(Submitted(stage_of[more["stage"].digest], more["final"], more["fresh"]))
            return submit(*arguments, **more)

        cells = [cell_of(each, split) for each in described(executor, [plugin])]
        executor.submit = noted  # type: ignore[method-assign]
        return drive(executor, folder / "run", cells, budget=Budget(trials=8, seeds=1)), handed


def outcome_of(done: Done) -> Any:
    (outcome,) = done.outcomes.values()
    return outcome


@pytest.mark.parametrize("names", [HALVES, LATER])
def test_what_unseen_users_or_windows_confirm_replaces_the_default_and_what_they_refute_does_not(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for confirmed in (True, False):
        done, handed = run(tmp_path / str(confirmed), confirmed=confirmed, names=names)
        assert {job.stage for job in handed} >= set(names)
        assert outcome_of(done).kept_default == (frozenset() if confirmed else {"tuned"})


def test_a_plugin_of_others_learns_half_of_the_users_in_a_worker_that_knows_nothing_of_them(tmp_path: Path) -> None:
    _, handed = run(tmp_path)
    assert {job.stage for job in handed} == {"search", "final", *HALVES}
    for job in handed:
        assert job.final is (job.stage != "search"), "no search follows in a worker that has learnt from a validation's labels"
        assert job.fresh is is_unseen(job.stage)


@pytest.mark.parametrize(("names", "key"), [(HALVES, UNSEEN), (LATER, TOGETHER)])
def test_workers_do_not_matter_and_a_run_given_again_fits_nothing(tmp_path: Path, names: tuple[str, ...], key: str) -> None:
    one, two = (run(tmp_path / str(n), n, names=names)[0] for n in (1, 2))
    told = [outcome_of(done).best["tuned"]["replicates"]["tuned" + key] for done in (one, two)]
    assert list(told[0][:2]) == list(told[1][:2])
    assert outcome_of(one).best["tuned"]["params"] == outcome_of(two).best["tuned"]["params"]
    again, handed = run(tmp_path / "1", names=names)
    assert handed == []
    assert not any(isinstance(event, JobStarted) for event in again.events)
    assert list(outcome_of(again).best["tuned"]["replicates"]["tuned" + key]) == list(told[0])


def test_what_counts_twice_in_a_mean_weighs_twice_where_it_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.tune.decide.LABEL_FREE", "tuned")
    monkeypatch.setattr("bench.tune.decide.LEAST", 0.0)
    done, _ = run(tmp_path, names=())
    best, inputs = outcome_of(done).best["tuned"], tiny_split().stages["search"].parts[0].static
    xs = [one["x"] for one in configurations(best["params"])]
    assert xs.count(0.0) == 2
    assert len(xs) == 4
    stored = read_prediction(tmp_path / "run" / "valid" / f"{best['key']}.npz")[0]["prediction"]
    each = [1 / (1 + np.exp(-x * inputs[:, 0] - (1 - x) * inputs[:, 1])) for x in xs]
    assert np.allclose(stored, np.mean(each, axis=0), atol=1e-6)
    assert not np.allclose(stored, np.mean(each[1:], axis=0), atol=1e-3), "the default alone makes the difference"


def test_predictions_for_unseen_users_are_removed_when_their_cell_ends(tmp_path: Path) -> None:
    done, _ = run(tmp_path)
    keys = {entry["key"] for entry in done.entries.values() if is_unseen(entry["stage"])}
    assert len(keys) >= 2 * 3
    assert keys.isdisjoint(file.stem for file in (tmp_path / "run" / "valid").iterdir())


def test_other_seeds_are_asked_of_models_that_have_seeds(tmp_path: Path) -> None:
    split = tiny_split()
    split = replace(split, stages={**split.stages, OLDER: split.stages["search"], RESEEDED: split.stages["search"]})
    with executor_in(tmp_path / "scratch", 1) as executor:
        (plugin,) = described(executor, [odd(tmp_path, "any")])
    for deterministic, asked in ((True, (OLDER,)), (False, (OLDER, RESEEDED))):
        assert cell_of(replace(plugin, deterministic=deterministic), split).scope.unseen == asked


def test_a_published_choice_that_all_windows_do_not_bear_out_is_refused() -> None:
    def record(score: float, params: Mapping[str, Any], **told: list[float]) -> Mapping[str, Any]:
        scores, drawn = {"tuned": [score]}, {"tuned": [score] * 2, **told}
        return {"number": 0, "params": params, "validations": 1, "status": "ok", "scores": scores, "replicates": drawn}

    alone, mean = {"x": 1.0}, {"mean_of": [{"x": 0.0}, {"x": 1.0}]}
    for params, told, refused in [(mean, [2.0, 1.0, 9.0], False), (alone, [2.0, 1.0, 9.0], True), (alone, [3.0, 1.0, 9.0], False)]:
        choice = record(0.72, params, **{"tuned" + TOGETHER: told})
        assert bool(_not_better(choice, record(0.70, {"x": 0.0}), "tuned", RankingRule("mase"))) is refused


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([0.02, 0.001, 9.0], ""),
        (None, ""),
        ([-0.02, 0.001, 9.0], "what it chose is not better than the default beyond its standard errors"),
        ([0.02, 0.001], "what unseen users say of it is no advantage with its standard error and its seconds"),
        ([0.02, -1.0, 9.0], "what unseen users say of it is no advantage with its standard error and its seconds"),
        ([0.02, 0.001, -9.0], "what unseen users say of it is no advantage with its standard error and its seconds"),
    ],
)
def test_a_published_choice_that_unseen_users_refute_is_refused(told: list[float] | None, words: str) -> None:
    def record(score: float) -> Mapping[str, Any]:
        common = {"number": 0, "params": {}, "validations": 1, "status": "ok"}
        return {**common, "scores": {"tuned": [score]}, "replicates": {"tuned": [score, score]}}

    choice = dict(record(0.72))
    choice["replicates"] = {**choice["replicates"], **({} if told is None else {"tuned" + UNSEEN: told})}
    assert _not_better(choice, record(0.70), "tuned", RankingRule("roc_auc")) == words
