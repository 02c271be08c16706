"""Trainings that are far behind stop early: what decides it is known before they begin, so that runs stay the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from execute.kit import Done, cell_of, described, drive, executor_in, odd, searching, tiny_split
from hypothesis import given
from hypothesis import strategies as st
from tune.test_decide import BOARD, PLUGIN, answer, make
from tune.test_search import SPACE, assert_same_trials

from bench.execute.jobs import Job
from bench.execute.rungs import Rung, RungWatch, TrainingPrunedError
from bench.runs.run_events import JobStarted
from bench.tune import search
from bench.tune.ledger import Ledger
from bench.tune.plan import Budget, Outcome, Scope, fits, plan
from bench.tune.rungs import rungs_after
from bench.tune.trials import Trial

EPOCHS = 6


def told(losses: list[float], epochs: int = EPOCHS) -> Trial:
    return Trial(0, {}, {"search": {"status": "ok", "losses": losses, "epochs": epochs}})


def test_the_worst_quarter_of_the_losses_at_a_third_and_two_thirds_of_the_epochs_stops() -> None:
    four = [told([level] * EPOCHS) for level in (0.1, 0.2, 0.3, 0.4)]
    assert rungs_after(four) == (Rung(2, pytest.approx(0.325)), Rung(4, pytest.approx(0.325)))


def test_a_rung_to_which_few_have_come_stops_nobody() -> None:
    assert rungs_after([told([0.1] * EPOCHS)] * 3) == ()
    stopped_early = [told([0.1] * EPOCHS)] * 3 + [told([0.1, 0.1])]
    assert [rung.epoch for rung in rungs_after(stopped_early)] == [2]
    assert rungs_after([Trial(0, {}, {"search": {"status": "ok"}})] * 8) == (), "models that tell nothing are never stopped"


def test_a_training_is_stopped_by_its_best_loss_so_far_and_at_rungs_alone() -> None:
    watch = RungWatch((Rung(2, 0.5),))
    for epoch, loss in enumerate((0.4, 0.9, 0.9, 0.9)):
        watch.observe(epoch, EPOCHS, loss)
    assert (watch.losses, watch.pruned) == ([0.4] * 4, "")
    watch.observe(0, EPOCHS, 0.8)  # a second training of the same fit begins
    with pytest.raises(TrainingPrunedError, match=r"0\.7 after 2 of 6 epochs"):
        watch.observe(1, EPOCHS, 0.7)
    assert not issubclass(TrainingPrunedError, Exception), "a plugin that catches its own errors must not go on"


@given(losses=st.lists(st.floats(), min_size=1, max_size=9))
def test_what_is_told_is_finite_and_never_rises_whatever_a_model_reports(losses: list[float]) -> None:
    watch = RungWatch()
    for epoch, loss in enumerate(losses):
        watch.observe(epoch, 9, loss)
    assert watch.losses == sorted(watch.losses, reverse=True)
    assert all(abs(loss) < float("inf") for loss in watch.losses)


def played(budget: Budget, *, pruned: bool) -> tuple[Outcome, list[list[Job]], list[Any]]:
    """Run a plan whose losses are as far from x = .6 as its scores; return also what the sampler was told last."""
    steps, batches = plan(PLUGIN, budget, make, Scope(1, BOARD, pruned=pruned)), []
    try:
        batches.append(next(steps))
        while True:
            batches.append(steps.send([trained(job) for job in batches[-1]]))
    except StopIteration as end:
        return end.value, batches, []


def trained(job: Job) -> dict[str, Any]:
    found = answer(job, {"search": 0.6})
    if job.of or job.stage == "final":
        return found
    watch = RungWatch(job.rungs)
    try:
        for epoch in range(EPOCHS):
            watch.observe(epoch, EPOCHS, abs(job.params["x"] - 0.6) + 0.1 / (1 + epoch))
    except TrainingPrunedError:
        return {**found, "status": "pruned", "value": None, "values": {}, "scores": {}, "replicates": {}, **watch.record}
    return {**found, **watch.record}


def test_what_stopped_trainings_leave_over_buys_further_trials_and_no_fit_beyond_the_budget() -> None:
    outcome, batches, _ = played(Budget(trials=20, seeds=1), pruned=True)
    stopped = [t for t in outcome.trials if t["status"] == "pruned"]
    whole = [t for t in outcome.trials if t["status"] == "ok"]
    assert stopped
    assert len(outcome.trials) > 20
    assert sum(t["fits"] for t in stopped) == pytest.approx(sum(len(t["losses"]) / EPOCHS for t in stopped))
    assert fits(outcome.trials) <= 20 < sum(t["fits"] for t in outcome.trials) + 1
    assert not any(job.rungs for job in batches[0]), "the first batch has nobody to be compared with"
    assert min(abs(t["params"]["x"] - 0.6) for t in stopped) > min(abs(t["params"]["x"] - 0.6) for t in whole)
    assert all(t["value"] is None for t in stopped)
    assert len(played(Budget(trials=20, seeds=1), pruned=False)[0].trials) == 20


def test_the_sampler_is_told_how_far_a_stopped_trial_came(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    ask = search.ask
    monkeypatch.setattr(
        search, "ask", lambda space, default, done, batch, **more: (heard.append(done), ask(space, default, done, batch, **more))[1]
    )
    outcome, _, _ = played(Budget(trials=20, seeds=1), pruned=True)
    at = next(n for n, t in enumerate(outcome.trials) if t["status"] == "pruned")
    assert heard[-1][at][1] == search.Pruned(len(outcome.trials[at]["losses"]), outcome.trials[at]["losses"][-1])


@pytest.mark.parametrize("higher", [True, False])
def test_of_stopped_trials_the_sampler_prefers_the_lower_loss_in_either_direction(higher: bool) -> None:
    """Where nothing ended, TPE follows the losses at the rung: draws gather where they were low."""
    space = {"rate": SPACE["rate"]}
    done = [
        ({"rate": rate}, search.Pruned(2, loss))
        for rate, loss in ((1.1e-4, 0.1), (1.2e-4, 0.11), (5e-2, 0.9), (9e-2, 0.8))
        for _ in range(3)
    ]
    asked = [p["rate"] for batch in range(1, 9) for p in search.ask(space, {"rate": 1e-2}, done, batch, seed=5, higher=higher)]
    assert sum(rate < 3e-3 for rate in asked) > 0.7 * len(asked)


def network(folder: Path) -> Path:
    """Write a model that trains in epochs: a large step is far behind from the first; it tries to go on when it is stopped."""
    return odd(
        folder, "network", **searching(0.3),
        fit="""
        for epoch in range(6):
            try:
                ctx.report(epoch, self.params["x"] + 1 / (1 + epoch), of=6)
            except Exception:
                pass
        """,
        predict='return np.clip(0.5 + (1 - self.params["x"]) * inputs.static[:, 0], 0, 1)',
    )  # fmt: skip


def searched(folder: Path, workers: int) -> Done:
    with executor_in(folder / "scratch", workers) as executor:
        cells = [replace(cell_of(plugin, tiny_split()), pruned=True) for plugin in described(executor, [network(folder)])]
        return drive(executor, folder / "run", cells, budget=Budget(trials=12, seeds=1))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Done]:
    return {workers: searched(tmp_path_factory.mktemp("rungs"), workers) for workers in (1, 2)}


def test_one_worker_and_two_stop_the_same_trainings(runs: Mapping[int, Done]) -> None:
    assert_same_trials(runs[1], runs[2])
    (outcome,) = runs[1].outcomes.values()
    stopped = [t for t in outcome.trials if t["status"] == "pruned"]
    assert stopped
    assert all(len(t["losses"]) in {2, 4} and f"after {len(t['losses'])} of 6 epochs" in t["reason"] for t in stopped)
    assert {t["status"] for t in outcome.trials} == {"ok", "pruned"}
    assert all(e["status"] == "ok" and "losses" not in e for e in outcome.finals.values())


def test_a_resumed_run_reuses_what_was_stopped_and_ends_the_same(runs: Mapping[int, Done], tmp_path: Path) -> None:
    kept = [e for n, e in enumerate(runs[2].entries.values()) if e["status"] == "pruned" or n < 5]
    with Ledger(tmp_path / "run") as ledger:
        for one in kept:
            ledger.append(one)
    done = searched(tmp_path, workers=2)
    assert_same_trials(runs[1], done)
    begun = {e.number for e in done.events if isinstance(e, JobStarted) and e.stage == "search"}
    assert not begun & {e["number"] for e in kept if e["status"] == "pruned"}
