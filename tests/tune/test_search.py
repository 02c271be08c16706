"""The search depends on what was tried and on nothing else: not on workers, resumption, time or the order of answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from execute.kit import Done, cell_of, described, drive, executor_in, odd, searching, steady, tiny_split
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json

from bench.execute.jobs import Job, Plugin, job_key, trial_seed
from bench.execute.mean_of import KEY, configurations
from bench.execute.rungs import Rung
from bench.registry import DISTRIBUTION, Source
from bench.runs.run_events import JobDone, JobStarted
from bench.tasks.base import RankingRule
from bench.tune import search
from bench.tune.decide import FEW
from bench.tune.ledger import Ledger
from bench.tune.plan import Budget, Outcome, Scope, plan

SPACE = {
    "rate": distribution_to_json(FloatDistribution(1e-4, 1e-1, log=True)),
    "depth": distribution_to_json(IntDistribution(1, 9)),
    "kind": distribution_to_json(CategoricalDistribution(["a", "b"])),
}
DEFAULT = {"rate": 1e-2, "depth": 4, "kind": "b"}
PLUGIN = Plugin("model", Source("model", "model"), space=SPACE, default=DEFAULT)
PENALTY = 0.0
BOARD = RankingRule("roc_auc", penalty=PENALTY)
SCOPE = Scope(7, BOARD)


def make(stage: Any, params: Mapping[str, Any], seed: int, number: int, of: tuple[str, ...] = (), rungs: tuple[Rung, ...] = ()) -> Job:
    assert rungs == (), "where nothing is pruned, a job is what it was"
    key = job_key({"stage": stage, "params": params, "seed": seed, "of": of})
    return Job("data/model", PLUGIN, stage, params, seed, key, {}, number, of=of)


def score(job: Job) -> dict[str, Any]:
    """Give an entry as a model would that likes small rates; it fails on depth 9. A mean has the mean of its scores."""
    each = configurations(job.params)
    ok = all(one.get("depth") != 9 for one in each)
    value = float(np.mean([1.0 - abs(math.log10(one["rate"]) + 2) / 3 - one["depth"] / 100 for one in each]))
    times = {"fit_seconds": 2.0, "predict_seconds": 1.0, "peak_memory_mb": 9.0}
    entry = {"key": job.key, "params": job.params, "number": job.number, **times}
    return {
        **entry,
        "stage": job.stage,
        "status": "ok" if ok else "failed",
        "value": value if ok else None,
        "values": {"tuned": value} if ok else {},
    }


def scored(entry: dict[str, Any]) -> dict[str, Any]:
    """Add what the core keeps of a validation: the score of each, and under resamples that hardly differ."""
    values = entry["values"] if entry["status"] == "ok" else {}
    drawn = np.random.default_rng(entry["number"]).normal(0.0, 1e-6, 20)
    return {**entry, "scores": {k: [v] for k, v in values.items()}, "replicates": {k: (v + drawn).tolist() for k, v in values.items()}}


def play(
    plugin: Plugin, budget: Budget, answer: Callable[[Job], dict[str, Any]] = score, scope: Scope = SCOPE
) -> tuple[Outcome, list[list[Job]]]:
    """Run a plan to its end; return its outcome and the batches of jobs that it asked for."""
    steps, batches = plan(plugin, budget, make, scope), []
    try:
        batches.append(next(steps))
        while True:
            batches.append(steps.send([scored(answer(job)) for job in batches[-1]]))
    except StopIteration as end:
        return end.value, batches


def finished(n: int) -> list[tuple[dict[str, Any], float]]:
    rng = np.random.default_rng(n)
    kinds = [str(kind) for kind in rng.choice(["a", "b"], n)]
    rows = [{"rate": float(10 ** rng.uniform(-4, -1)), "depth": int(rng.integers(1, 10)), "kind": kind} for kind in kinds]
    return [(params, float(rng.uniform())) for params in rows]


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_the_same_finished_trials_give_the_same_next_batch(batch: int) -> None:
    first, again = (search.ask(SPACE, DEFAULT, finished(4 * batch), batch, seed=1) for _ in range(2))
    assert first == again
    assert len(first) == search.BATCH == 4


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_smaller_batch_is_the_beginning_of_the_whole_one_so_that_more_trials_reuse_it(batch: int, size: int) -> None:
    whole = search.ask(SPACE, DEFAULT, finished(4 * batch), batch, seed=1)
    assert search.ask(SPACE, DEFAULT, finished(4 * batch), batch, seed=1, size=size) == whole[:size]


def test_the_next_batch_depends_on_base_seed_cell_batch_and_scores() -> None:
    same = search.ask(SPACE, DEFAULT, finished(12), 3, seed=1)
    worse = [(params, -value) for params, value in finished(12)]
    others = [
        search.ask(SPACE, DEFAULT, finished(12), 3, seed=2),
        search.ask(SPACE, DEFAULT, finished(12), 2, seed=1),
        search.ask(SPACE, DEFAULT, worse, 3, seed=1),
    ]
    assert all(other != same for other in others)


def test_the_global_generators_do_not_matter() -> None:
    np.random.seed(1)  # noqa: NPY002 - the global generator is what is tested
    first = search.ask(SPACE, DEFAULT, finished(8), 2, seed=1)
    np.random.seed(2)  # noqa: NPY002
    assert search.ask(SPACE, DEFAULT, finished(8), 2, seed=1) == first


def test_trial_zero_is_the_authors_default() -> None:
    outcome, batches = play(PLUGIN, Budget(trials=6, seeds=1))
    assert batches[0][0].params == DEFAULT
    assert (outcome.valid["number"], outcome.valid["params"]) == (0, DEFAULT)
    assert [job.params for job in batches[0][1:]].count(DEFAULT) == 0


@pytest.mark.parametrize(("trials", "sizes"), [(1, [1]), (4, [4]), (6, [4, 2]), (9, [4, 4, 1])])
def test_trials_come_in_batches_of_four_and_are_numbered_through(trials: int, sizes: list[int]) -> None:
    outcome, batches = play(PLUGIN, Budget(trials=trials, seeds=1))
    searched = [batch for batch in batches if not batch[0].of and batch[0].stage != "final"]
    assert [len(batch) for batch in searched] == sizes
    assert [job.number for batch in searched for job in batch] == list(range(trials))
    assert [t["number"] for t in outcome.trials] == list(range(trials))
    assert outcome.stopped_by == "trials"


def test_a_failed_trial_is_told_as_the_penalty_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[tuple[Mapping[str, Any], float]]] = []
    ask = search.ask

    def heard(space: Any, default: Any, done: Any, batch: int, **more: Any) -> Any:
        told.append(list(done))
        return ask(space, default, done, batch, **more)

    monkeypatch.setattr(search, "ask", heard)
    broken = {"status": "failed", "value": None}
    outcome, _ = play(PLUGIN, Budget(trials=9, seeds=1), lambda job: {**score(job), **(broken if job.number in {1, 5} else {})})
    for batch, done in enumerate(told):
        assert len(done) == 4 * batch, "a failed trial is told, never left out"
        assert [value for _, value in done] == [PENALTY if t["value"] is None else t["value"] for t in outcome.trials[: 4 * batch]]
        assert [params for params, _ in done] == [t["params"] for t in outcome.trials[: 4 * batch]]
    assert {t["number"] for t in outcome.trials if t["status"] != "ok"} >= {1, 5}
    assert outcome.best["tuned"]["status"] == "ok"


def test_a_plan_replayed_from_recorded_entries_asks_for_the_same_jobs_and_ends_the_same() -> None:
    outcome, batches = play(PLUGIN, Budget(trials=10, seeds=3))
    recorded = {job.key: score(job) for batch in batches for job in batch}
    again, repeated = play(PLUGIN, Budget(trials=10, seeds=3), lambda job: recorded[job.key])
    assert repeated == batches
    assert again == outcome


def test_fewer_trials_are_the_beginning_of_more() -> None:
    _, many = play(PLUGIN, Budget(trials=10, seeds=1))
    for trials in range(1, 10):
        _, few = play(PLUGIN, Budget(trials=trials, seeds=1))
        keys = [job.key for batch in few for job in batch if not job.of and job.stage != "final"]
        assert keys == [job.key for batch in many for job in batch if not job.of and job.stage != "final"][:trials]


@settings(max_examples=25, deadline=None)
@given(minutes=st.floats(0.01, 2.0), trials=st.integers(1, 14), seeds=st.integers(1, 3))
def test_minutes_are_looked_at_after_every_trial_with_time_for_the_finals_kept(minutes: float, trials: int, seeds: int) -> None:
    outcome, batches = play(PLUGIN, Budget(trials=trials, seeds=seeds, minutes=minutes))
    done = len(outcome.trials)
    assert done >= 1, "the first trial is always run"
    assert outcome.stopped_by == ("trials" if done == trials else "minutes")
    # each trial takes three seconds, so does each of the finals: those of the few that are averaged, of which the default is one
    rounds = range(1, trials)
    expected = next((n for n in rounds if 3 * n + 3 * FEW * seeds >= 60 * minutes), trials)
    assert done == expected
    assert {tuning for tuning, _ in outcome.finals} == {"default", "tuned"}
    assert batches[-1][0].stage == "final"


def test_without_minutes_time_does_not_matter() -> None:
    slow, _ = play(PLUGIN, Budget(trials=9, seeds=1), lambda job: {**score(job), "fit_seconds": 1e6})
    assert (len(slow.trials), slow.stopped_by) == (9, "trials")


def test_a_first_batch_that_fails_as_a_whole_stops_the_search_and_runs_no_final() -> None:
    outcome, batches = play(PLUGIN, Budget(trials=50, seeds=5), lambda job: {**score(job), "status": "crash", "value": None})
    assert [len(batch) for batch in batches] == [4]
    assert (outcome.stopped_by, outcome.finals, outcome.best, len(outcome.trials)) == ("failures", {}, {}, 4)


def test_one_success_in_the_first_batch_lets_the_search_go_on() -> None:
    outcome, batches = play(PLUGIN, Budget(trials=8, seeds=1), lambda job: {**score(job), **({} if job.number == 3 else {"status": "oom"})})
    assert [len(batch) for batch in batches if not batch[0].of] == [4, 4, 1, 1]
    assert outcome.best["tuned"]["number"] == 3


def test_of_equal_trials_the_first_is_the_best() -> None:
    outcome, _ = play(PLUGIN, Budget(trials=6, seeds=1), lambda job: {**score(job), "status": "ok", "value": 0.5, "values": {"tuned": 0.5}})
    assert outcome.best["tuned"]["number"] == 0


def test_tuned_and_default_share_their_jobs_where_the_default_was_the_best() -> None:
    def answer(job: Job) -> dict[str, Any]:
        value = 1.0 if job.params == DEFAULT else 0.1
        return {**score(job), "status": "ok", "value": value, "values": {"tuned": value}}

    outcome, batches = play(PLUGIN, Budget(trials=4, seeds=2), answer)
    assert [len(batch) for batch in batches[-2:]] == [2, 2]
    assert [job.key for job in batches[-2]] == [job.key for job in batches[-1]]
    assert outcome.finals["default", 1] == outcome.finals["tuned", 1]


def test_where_a_mean_cannot_be_scored_the_best_alone_is_what_was_found() -> None:
    def answer(job: Job) -> dict[str, Any]:
        return {**score(job), "status": "invalid", "value": None} if job.of else score(job)

    outcome, batches = play(PLUGIN, Budget(trials=9, seeds=1), answer)
    assert any(job.of for batch in batches for job in batch)
    best = max((t for t in outcome.trials if t["status"] == "ok"), key=lambda t: t["value"])
    assert outcome.best["tuned"]["params"] == best["params"]
    assert KEY not in batches[-1][-1].params


def test_finals_use_the_base_seed_and_those_after_it_and_searches_others() -> None:
    _, batches = play(PLUGIN, Budget(trials=5, seeds=3, base=70))
    assert {job.seed for job in batches[-1]} == {70, 71, 72}
    seeds = [job.seed for batch in batches for job in batch if not job.of and job.stage != "final"]
    assert seeds == [trial_seed(70, n) for n in range(5)]
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_deterministic_model_gets_one_final_seed_and_one_without_a_space_no_trials() -> None:
    plugin = Plugin("model", Source("model", "model", DISTRIBUTION), deterministic=True, default=DEFAULT)
    outcome, batches = play(plugin, Budget(trials=50, seeds=5))
    assert [(job.stage, len(batch)) for batch in batches for job in batch] == [("search", 1), ("final", 1)]
    assert (outcome.trials, list(outcome.finals)) == ((), [("default", 0)])


def predicting(what: Callable[[Job], str], **more: object) -> Callable[[Job], dict[str, Any]]:
    """Answer as a model whose predictions have the digest that is given."""
    return lambda job: {**score(job), "cut_short": False, "prediction": "p.npz", "digests": {"p.npz": what(job)}, **more}


def test_a_foreign_model_that_calls_itself_deterministic_is_fitted_once_more_with_another_seed() -> None:
    plugin = Plugin("model", Source("model", "model"), deterministic=True, default=DEFAULT)
    steady, batches = play(plugin, Budget(trials=50, seeds=3), predicting(lambda _: "same"))
    assert [[(job.stage, job.seed) for job in batch] for batch in batches[1:]] == [[("final", 0)], [("final", 1)]]
    assert (steady.seed_matters, list(steady.finals)) == (False, [("default", 0)])
    assert play(plugin, Budget(trials=1, seeds=3), predicting(lambda job: str(job.seed)))[0].seed_matters
    # a fit that was told to stop earlier may well predict otherwise
    assert not play(plugin, Budget(trials=1, seeds=3), predicting(lambda job: str(job.seed), cut_short=True))[0].seed_matters
    assert not play(plugin, Budget(trials=1, seeds=3), predicting(lambda job: str(job.seed), status="failed"))[0].seed_matters
    assert len(play(plugin, Budget(trials=50, seeds=1), predicting(lambda job: str(job.seed)))[1]) == 2, "one seed is wanted of all"


def pair(folder: Path) -> list[Path]:
    """Write two models; one takes longer the better it is."""
    slow = odd(
        folder,
        "slow",
        **searching(0.9),
        fit='time.sleep(self.params["x"] / 20)',
        predict='return np.clip(0.5 + self.params["x"] * (inputs.static[:, 0] - 0.5 * inputs.static[:, 1]), 0, 1)',
    )
    return [steady(folder), slow]


def searched(folder: Path, workers: int, step: int = 1) -> Done:
    """Run both models' searches and finals; `step` -1 turns their order round."""
    with executor_in(folder / "scratch", workers) as executor:
        cells = [cell_of(plugin, tiny_split()) for plugin in described(executor, pair(folder))[::step]]
        return drive(executor, folder / "run", cells, budget=Budget(trials=10, seeds=2))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Done]:
    return {workers: searched(tmp_path_factory.mktemp("runs"), workers, 1 if workers == 1 else -1) for workers in (1, 2)}


def same(entry: Mapping[str, Any]) -> dict[str, Any]:
    times = {"fit_seconds", "predict_seconds", "taken_over", "peak_memory_mb", "finished"}
    return {name: value for name, value in entry.items() if name not in times}


def assert_same_trials(one: Done, other: Done) -> None:
    assert set(one.outcomes) == set(other.outcomes)
    for name, outcome in one.outcomes.items():
        assert [same(t) for t in outcome.trials] == [same(t) for t in other.outcomes[name].trials]
        assert {at: same(e) for at, e in outcome.finals.items()} == {at: same(e) for at, e in other.outcomes[name].finals.items()}


def test_one_worker_and_two_give_identical_trials_and_scores(runs: dict[int, Done]) -> None:
    assert_same_trials(runs[1], runs[2])
    assert {key: same(e) for key, e in runs[1].entries.items()} == {key: same(e) for key, e in runs[2].entries.items()}
    assert {entry["status"] for entry in runs[1].entries.values()} == {"ok"}
    assert len({e["value"] for e in runs[1].entries.values()}) > 5
    order = [[e.entry["key"] for e in runs[n].events if isinstance(e, JobDone)] for n in (1, 2)]
    assert order[0] != order[1], "the two runs must not have done their jobs in one order"


def test_a_run_resumed_from_any_part_of_its_entries_asks_for_the_same_jobs(runs: dict[int, Done], tmp_path: Path) -> None:
    entries = list(runs[2].entries.values())
    # every third is lost, and all predictions with the folder
    fitted = [e for e in entries if not (e["stage"] == "search" and KEY in e["params"])]
    kept = [e for n, e in enumerate(fitted) if n % 3 and e["stage"] == "search"]
    averaged = [(e["dataset"], e["model"], one) for e in entries if e not in fitted for one in configurations(e["params"])]
    needed = [e for e in kept if (e["dataset"], e["model"], e["params"]) in averaged]
    with Ledger(tmp_path / "run") as ledger:
        for entry in reversed(kept):
            ledger.append(entry)
    done = searched(tmp_path, workers=2)
    assert_same_trials(runs[1], done)
    assert set(done.entries) == set(runs[1].entries)
    # those that are averaged are fitted again for their predictions
    assert sum(isinstance(e, JobStarted) for e in done.events) == len(fitted) - len(kept) + len(needed)


def test_the_first_trials_after_the_default_are_a_portfolios_and_then_spread_over_the_space() -> None:
    known = {"rate": 0.05, "depth": 2, "kind": "a"}
    first = search.ask(SPACE, DEFAULT, [], 0, seed=3, portfolio=[known, DEFAULT])
    assert first[:2] == [DEFAULT, known]
    assert first[2:] == search.spread(SPACE, 3, 4)[:2]


@given(seed=st.integers(0, 2**31 - 1), n=st.integers(1, 32))
@settings(max_examples=40, deadline=None)
def test_spread_points_lie_in_the_space_and_cover_it(seed: int, n: int) -> None:
    points = search.spread(SPACE, seed, n)
    assert len(points) == n
    assert all(1e-4 <= p["rate"] <= 1e-1 and 1 <= p["depth"] <= 9 and p["kind"] in {"a", "b"} for p in points)
    if n >= 4:  # a Sobol sequence has one of its first four points in each quarter of every axis
        quarters = {int(4 * (math.log10(p["rate"]) + 4) / 3) for p in points[:4]}
        assert quarters == {0, 1, 2, 3}
