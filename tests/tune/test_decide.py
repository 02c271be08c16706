"""Several validations, a race between configurations, and the default that stays unless something is better beyond doubt."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, distribution_to_json

from bench.execute.jobs import Job, Plugin, job_key
from bench.execute.mean_of import configurations, params_of
from bench.execute.rungs import Rung
from bench.registry import Source
from bench.tasks.base import OLDER, RESEEDED, RankingRule
from bench.tune.decide import FEW, WINDOWS, Choice, Unseen, contenders, decide, few_best, replaces, shares
from bench.tune.plan import FEW_TRIALS, TOGETHER, UNSEEN, Budget, Outcome, Scope, fits, plan, seconds_unseen
from bench.tune.trials import Difference, Trial, difference

BOARD = RankingRule("roc_auc")
STAGES = ("search", "search-2", "search-3")
DRAWS = 50


def entry(scores: Sequence[float], noise: float, key: str = "k") -> dict[str, Any]:
    """Make an entry whose resamples, paired by their number, spread by `noise` around the score."""
    drawn = np.mean(scores) + np.random.default_rng(zlib.crc32(key.encode())).normal(0, noise, DRAWS)
    return {
        "key": key, "status": "ok", "value": float(np.mean(scores)), "values": {"tuned": float(np.mean(scores))},
        "scores": {"tuned": list(scores)}, "replicates": {"tuned": drawn.tolist()},
    }  # fmt: skip


def trial(number: int, by_stage: Mapping[str, Sequence[float]], noise: float = 0.0) -> Trial:
    return Trial(number, {"x": number}, {s: entry(v, noise, f"{number}{s}") for s, v in by_stage.items()})


def test_a_finding_replaces_the_default_only_beyond_the_differences_standard_error() -> None:
    default, better = trial(0, {"search": [0.70]}), trial(1, {"search": [0.72]})
    assert decide(better, default, "tuned", BOARD) == Choice(better, kept_default=False)
    noisy = trial(1, {"search": [0.72]}, noise=0.05)
    assert decide(noisy, default, "tuned", BOARD) == Choice(default, kept_default=True)
    assert decide(default, default, "tuned", BOARD).kept_default


def test_what_holds_at_one_cut_off_alone_does_not_replace_the_default() -> None:
    default = trial(0, {s: [0.70] for s in STAGES})
    lucky = trial(1, dict(zip(STAGES, ([0.80], [0.69], [0.69]), strict=True)))
    steady = trial(2, dict(zip(STAGES, ([0.72], [0.71], [0.72]), strict=True)))
    assert decide(lucky, default, "tuned", BOARD).kept_default
    assert decide(steady, default, "tuned", BOARD).trial is steady


def test_past_and_unseen_users_are_weighed_together_and_neither_may_be_a_loss() -> None:
    for past, unseen, wanted in [
        (Difference(0.010, 0.010), None, False),
        (Difference(0.020, 0.010), None, True),
        (Difference(0.010, 0.010), Difference(0.020, 0.001), True),  # .015 with an error of .005
        (Difference(0.020, 0.010), Difference(0.001, 0.030), False),  # .0105 with an error of .016
        (Difference(0.040, 0.001), Difference(-0.001, 0.001), False),
        (Difference(-0.001, 0.001), Difference(0.040, 0.001), False),
        (Difference(0.040, 0.001), Difference(0.0, math.inf), False),
    ]:
        assert replaces(past, unseen) is wanted, (past, unseen)


def test_where_lower_is_better_the_lower_score_wins() -> None:
    default, lower, higher = trial(0, {"search": [1.0, 1.0]}), trial(1, {"search": [0.8, 0.8]}), trial(2, {"search": [1.2, 1.2]})
    board = RankingRule("mase", higher=False)
    assert decide(lower, default, "tuned", board).trial is lower
    assert decide(higher, default, "tuned", board).kept_default
    assert few_best([default, higher, lower], "tuned", board, 3) == [lower, default, higher]
    assert few_best([default, higher, lower], "tuned", board, 2) == [lower, default]


def test_where_the_default_failed_what_worked_stands() -> None:
    failed = Trial(0, {}, {"search": {"status": "crash", "scores": {}, "values": {}}})
    works = trial(1, {"search": [0.6]})
    assert few_best([failed, works], "tuned", BOARD, 3) == [works]
    assert decide(works, failed, "tuned", BOARD) == Choice(works, kept_default=False)
    assert few_best([failed], "tuned", BOARD, 3) == []


def test_the_few_best_are_the_default_and_the_two_best_others() -> None:
    others = [trial(n, {"search": [0.700 + n / 1000]}) for n in (1, 2, 3, 4)]
    default = trial(0, {"search": [0.700]})
    assert [t.number for t in few_best([default, *others], "tuned", BOARD, 3)] == [4, 3, 0]
    assert [t.number for t in few_best([default, *others], "tuned", BOARD, 1)] == [4]
    leading = trial(0, {"search": [0.9]})
    assert [t.number for t in few_best([leading, *others], "tuned", BOARD, 3)] == [0, 4, 3]


def test_only_configurations_that_met_every_validation_are_averaged() -> None:
    default, whole = (trial(n, {s: [0.70] for s in STAGES}, 0.01) for n in (0, 1))
    once = trial(2, {"search": [0.71]}, 0.01)
    assert {t.number for t in few_best([default, whole, once], "tuned", BOARD, 3)} == {0, 1}


def test_the_standard_error_of_a_difference_is_paired() -> None:
    """Two configurations whose resamples move together are told apart although each by itself is uncertain."""
    shared = np.random.default_rng(0).normal(0, 0.1, DRAWS)
    one, other = trial(0, {"search": [0.71]}), trial(1, {"search": [0.70]})
    for t, score in ((one, 0.71), (other, 0.70)):
        t.entries["search"]["replicates"]["tuned"] = (score + shared).tolist()
    found = difference(one, other, "tuned", higher=True)
    assert found.mean == pytest.approx(0.01)
    assert found.error < 1e-12


def test_contenders_are_those_that_may_still_win() -> None:
    default = trial(0, {"search": [0.70]})
    good, fair, bad = trial(1, {"search": [0.75]}), trial(2, {"search": [0.749]}, noise=0.01), trial(3, {"search": [0.60]})
    assert contenders([default, bad, fair, good], ("tuned",), BOARD, 3) == [good, fair]
    assert contenders([default, bad, fair, good], ("tuned",), BOARD, 1) == [good]
    assert contenders([default, bad], ("tuned",), BOARD, 3) == []


@pytest.mark.parametrize("n", range(1, 60))
@pytest.mark.parametrize("validations", [1, 2, 3])
def test_shares_never_spend_more_fits_than_the_budget(n: int, validations: int) -> None:
    explored, rivals = shares(n, STAGES[:validations])
    assert explored >= 1
    assert explored + ((rivals + 1) * (validations - 1) if rivals else 0) <= n


SPACE = {"x": distribution_to_json(FloatDistribution(0.0, 1.0))}
PLUGIN = Plugin("model", Source("model", "model"), space=SPACE, default={"x": 0.1})


def play(
    truth: Mapping[str, float], budget: Budget, stages: Sequence[str] = STAGES, unseen: tuple[str, ...] = ()
) -> tuple[Outcome, list[Job]]:
    """Run a plan in which the best x of each validation is given by `truth`."""
    steps = plan(PLUGIN, budget, make, Scope(1, BOARD, tuple(stages), unseen=unseen))
    jobs: list[Job] = []
    try:
        asked = next(steps)
        while True:
            jobs += asked
            asked = steps.send([answer(job, truth) for job in asked])
    except StopIteration as end:
        return end.value, jobs


def make(stage: str, params: Mapping[str, Any], seed: int, number: int, of: tuple[str, ...] = (), rungs: tuple[Rung, ...] = ()) -> Job:
    key = job_key({"stage": stage, "params": dict(params), "seed": seed, "of": of})
    return Job("cell", PLUGIN, stage, params, seed, key, {}, number, of=of, rungs=rungs)


def answer(job: Job, truth: Mapping[str, float]) -> dict[str, Any]:
    x = np.mean([one["x"] for one in configurations(job.params)])
    score = 1.0 - abs(x - truth.get(job.stage, 0.0))
    return {**entry([score], 1e-6, job.key), "number": job.number, "params": job.params, "stage": job.stage, "seed": job.seed,
            "fit_seconds": 1.0, "predict_seconds": 0.0, "peak_memory_mb": 1.0}  # fmt: skip


def test_every_configuration_meets_the_first_validation_and_only_the_best_the_others() -> None:
    outcome, jobs = play(dict.fromkeys(STAGES, 0.6), Budget(trials=20, seeds=1))
    fitted = [j for j in jobs if not j.of]
    first = [j for j in fitted if j.stage == "search"]
    later = [j for j in fitted if j.stage == "search-3"]
    assert len(first) == 12
    assert 1 <= len(later) <= 4
    assert {j.number for j in later} >= {0}, "the default is compared on every validation"
    assert fits(outcome.trials) == len(fitted) - sum(j.stage == "final" for j in jobs) <= 20
    best = outcome.best["tuned"]
    assert set(best["validations"]) == set(STAGES)
    default, *others = configurations(best["params"])
    assert default == PLUGIN.default
    assert all(abs(one["x"] - 0.6) < 0.2 for one in others)
    assert outcome.kept_default == frozenset()


def test_a_search_misled_by_the_first_validation_ends_with_the_default() -> None:
    outcome, _ = play({"search": 0.9, "search-2": 0.1, "search-3": 0.1}, Budget(trials=20, seeds=1))
    assert outcome.best["tuned"]["params"] == PLUGIN.default
    assert outcome.kept_default == {"tuned"}


def test_with_one_validation_all_fits_explore() -> None:
    outcome, jobs = play({"search": 0.5}, Budget(trials=7, seeds=1), stages=STAGES[:1])
    assert len(outcome.trials) == 7 == sum(j.stage == "search" and not j.of for j in jobs)


def test_minutes_that_run_out_in_the_race_end_it() -> None:
    """Twelve fits of a second explore; as many as the finals will need are kept back."""
    whole, _ = play(dict.fromkeys(STAGES, 0.6), Budget(trials=20, seeds=1, minutes=100.0))
    short, jobs = play(dict.fromkeys(STAGES, 0.6), Budget(trials=20, seeds=1, minutes=14.5 / 60))
    assert (whole.stopped_by, short.stopped_by) == ("trials", "minutes")
    assert len(whole.trials) == len(short.trials) == 12
    assert {j.stage for j in jobs} == {"search", "final"}
    assert set(whole.best["tuned"]["validations"]) == set(STAGES)


HALVES = ("unseen-1", "unseen-2")


def test_what_unseen_users_do_not_confirm_leaves_the_default() -> None:
    past = dict.fromkeys(STAGES, 0.6)
    for there, kept in ((0.6, False), (0.1, True)):
        outcome, jobs = play({**past, **dict.fromkeys(HALVES, there)}, Budget(trials=20, seeds=2), unseen=HALVES)
        assert bool(outcome.kept_default) is kept
        asked = [j for j in jobs if j.stage in HALVES and not j.of]
        (mean,) = {tuple(j.of): j for j in jobs if j.of and j.stage == HALVES[0]}.values()
        few = len(configurations(mean.params))
        assert [j.stage for j in asked] == [HALVES[0]] * few + [HALVES[1]] * few, "the default and what is averaged with it"
        assert fits(outcome.trials) <= 20, "they are no fits of the search"
        assert set(outcome.best["tuned"]["validations"]) == set(STAGES), "and no validations: nothing is calibrated by them"
        seeds = {j.seed for j in jobs if j.stage in STAGES}
        assert len({j.seed for j in asked}) == len(asked), "a fit that was lucky is not lucky again"
        assert not seeds & {j.seed for j in asked}
        advantage, error, spent = outcome.best["tuned"]["replicates"]["tuned" + UNSEEN]
        assert advantage == pytest.approx(-0.2 if kept else 0.3, abs=0.15)
        assert error > 0
        assert spent == seconds_unseen(outcome.best) == len(asked), "a second each"


def test_older_windows_that_agree_let_the_best_trial_stand_alone_and_others_leave_the_default() -> None:
    past = dict.fromkeys(STAGES, 0.6)
    for stages in ((OLDER,), (OLDER, RESEEDED)):
        for there, kept in ((0.6, False), (-2.0, True)):
            outcome, jobs = play({**past, **dict.fromkeys(stages, there)}, Budget(trials=20, seeds=1), unseen=stages)
            assert bool(outcome.kept_default) is kept
            asked = [j for j in jobs if j.stage in stages and not j.of]
            assert [j.number for j in asked] == [j.number for j in asked if j.stage == OLDER] * len(stages)
            assert 2 <= len(asked) / len(stages) <= FEW, "the default among them"
            assert not {j.seed for j in jobs if j.stage in STAGES} & {j.seed for j in asked}
            best = outcome.best["tuned"]
            assert set(best["validations"]) == set(STAGES), "nothing is calibrated by them"
            assert len(configurations(best["params"])) == 1
            advantage, error, spent = best["replicates"]["tuned" + TOGETHER]
            assert (advantage > WINDOWS * error) is not kept, "over the validations and what was not seen together"
            assert error > 0
            assert spent == seconds_unseen(outcome.best) == len(asked)
            if not kept:
                assert advantage == pytest.approx(np.mean([0.5] * (len(STAGES) + len(stages))), abs=0.1)
                assert best["params"] == max(outcome.trials, key=lambda t: t["value"] if len(t["scores"]["tuned"]) == 3 else -1.0)["params"]


def test_of_one_trial_alone_more_is_asked_than_of_a_mean() -> None:
    default, alone = trial(0, {"search": [0.70]}), trial(1, {"search": [0.72]})
    mean = Trial(1, params_of([{"x": 0}, {"x": 1}]), alone.entries)
    for found, errors, kept in [(mean, 1.7, True), (mean, 1.8, False), (alone, 2.4, True), (alone, 2.6, False)]:
        unseen = Unseen(Difference(errors / 100, 0.01), 1.0, together=True)
        assert decide(found, default, "tuned", BOARD, unseen).kept_default is kept, errors
    lost = trial(1, {"search": [0.69]})
    assert decide(lost, default, "tuned", BOARD, Unseen(Difference(0.1, 0.01), 1.0, together=True)).kept_default


def test_a_search_of_few_configurations_is_not_confirmed() -> None:
    truth = dict.fromkeys((*STAGES, *HALVES), 0.6)
    for trials, asked in ((FEW_TRIALS, False), (20, True)):  # of eight fits six explore, or fewer
        outcome, jobs = play(truth, Budget(trials=trials, seeds=1), unseen=HALVES)
        assert (len(outcome.trials) >= FEW_TRIALS) is asked
        assert any(j.stage in HALVES for j in jobs) is asked


def test_what_is_no_better_on_the_past_is_not_confirmed() -> None:
    _, jobs = play({"search": 0.9, "search-2": 0.1, "search-3": 0.1}, Budget(trials=20, seeds=1), unseen=HALVES)
    assert not any(j.stage in HALVES for j in jobs)


def test_what_cannot_be_fitted_on_half_of_the_users_leaves_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer

    def failing(job: Job, truth: Mapping[str, float]) -> dict[str, Any]:
        broken = {"status": "crash", "scores": {}, "values": {}, "value": None, "replicates": {}}
        return {**whole(job, truth), **(broken if job.stage == HALVES[1] and job.number else {})}

    monkeypatch.setitem(globals(), "answer", failing)
    outcome, _ = play(dict.fromkeys((*STAGES, *HALVES), 0.6), Budget(trials=20, seeds=1), unseen=HALVES)
    assert outcome.kept_default == {"tuned"}


def test_minutes_keep_time_for_what_confirms_a_search() -> None:
    truth = dict.fromkeys((*STAGES, *HALVES), 0.6)
    for unseen in ((), HALVES):
        outcome, _ = play(truth, Budget(trials=20, seeds=1, minutes=10.5 / 60), unseen=unseen)
        assert outcome.stopped_by == "minutes"
        assert len(outcome.trials) == 8 - (FEW if unseen else 0)
