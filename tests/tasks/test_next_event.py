"""The next-event task as the runner sees it: what it refuses, what it scores, and what new data gets."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from bench.api import Context
from bench.data.events import Events
from bench.data.ranking import Ranking
from bench.errors import DataError
from bench.tasks.next_event.task import NextEvent
from bench.tasks.profiles import profile
from bench_plugins.next_links import Markov

DAY = 86_400_000_000
CIRCLE = 12


def circle(users: int = 60, events: int = 30, seed: int = 0, prefix: str = "i") -> Events:
    """Make users who go round a circle of items, one a day, with leaps: the last item tells the next."""
    rng = np.random.default_rng(seed)
    step = np.where(rng.random((users, events)) < 0.8, 1, rng.integers(0, CIRCLE, (users, events)))
    item = step.cumsum(1) % CIRCLE
    time = (19_000 + np.arange(events) + rng.random((users, events))) * DAY
    frame = pl.DataFrame({
        "user": np.repeat([f"u{n:02d}" for n in range(users)], events),
        "time": pl.Series(time.ravel().astype(np.int64)).cast(pl.Datetime("us", "UTC")),
        "kind": np.where(item.ravel() % 2 == 0, "even", "odd"),
        "item": [f"{prefix}{n:02d}" for n in item.ravel()],
    })  # fmt: skip
    return Events.build(frame, name="circle", activity=("even", "odd"))


def split_of(**options):
    (split,) = NextEvent().splits(circle(), options, profile("smoke"), 0, simulated=False)
    return split


def answer(split, stage="final", model=None) -> list[dict[str, np.ndarray]]:
    fit = model or Markov(Markov.default())
    fit.fit(split.stages[stage].train, Context())
    return [fit.predict(split.stages[stage].parts[0], Context()).arrays()]


def score(split, prediction) -> dict[str, float]:
    scorer = NextEvent().scorer(split, prediction)
    return {name: float(v[0]) for name, v in scorer.score(np.ones((1, len(split.truths["final"].group)))).items()}


def test_what_follows_in_the_log_is_found_by_a_model_of_what_follows():
    split = split_of()
    task, prediction = NextEvent(), answer(split)
    assert task.invalid(split, "final", 0, prediction[0]) == ""
    finished = task.finished(split, "final", prediction, causal=True).prediction
    found = score(split, finished)
    assert found["hit_1"] == pytest.approx(0.8, abs=0.07)
    assert set(found) <= set(task.metrics)
    assert split.facts["n_test"] == len(split.members["user"]) == len(split.members["time"]) == 180
    assert split.columns["n_test"] == split.facts["n_test_users"] == 60  # a board counts users, who are resampled
    assert split.members["time"][0] >= split.facts["test_cutoff"]


def test_kinds_are_ranked_where_they_are_asked_for():
    split = split_of(target="kind")
    prediction = answer(split)
    assert NextEvent().invalid(split, "final", 0, prediction[0]) == ""
    found = score(split, prediction)
    assert found["accuracy"] > 0.8
    assert found["kind_log_loss"] < 0.5
    assert "target=kind" in split.task_id


@pytest.mark.parametrize("target", ["item", "kind"])
def test_what_a_search_found_stands_as_the_ranking_that_it_was(target):
    split, task = split_of(target=target), NextEvent()
    found = task.finished(split, "final", answer(split), causal=True).prediction
    assert set(found[0]) == {"items", "scores"} - ({"scores"} if target == "item" else set())
    kept = task.averaged(split, "final", [found])
    for one, other in zip(found, kept.prediction, strict=True):
        assert {name: array.dtype for name, array in one.items()} == {name: array.dtype for name, array in other.items()}
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert score(split, kept.prediction) == pytest.approx(score(split, found), nan_ok=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda scores, **_: {"prediction": scores}, r"no Ranking\(items, scores\)"),
        (lambda items, scores: {"items": items[:, :3], "scores": scores}, r"items \[180, 3\] and scores \[180, 12\], expected"),
        (lambda items, scores: {"items": items.astype(float), "scores": scores}, "items of float64"),
        (lambda items, scores: {"items": items, "scores": scores * np.nan}, "not finite"),
        (lambda items, scores: {"items": items + 1, "scores": scores}, "ranked items from 0 to 12, the catalogue has 0 to 11"),
        (lambda items, scores: {"items": items * 0 + 5, "scores": scores}, "ranked item 5 twice in row 0"),
    ],
)
def test_what_is_no_ranking_is_refused_in_words(change, words):
    import re

    split = split_of()
    (arrays,) = answer(split)
    assert re.search(words, NextEvent().invalid(split, "final", 0, change(**arrays)))


def test_kinds_without_probabilities_are_refused():
    split = split_of(target="kind")
    (arrays,) = answer(split)
    assert "sum to 1" in NextEvent().invalid(split, "final", 0, {**arrays, "scores": arrays["scores"] * 2})
    assert "left out a kind" in NextEvent().invalid(split, "final", 0, {**arrays, "items": arrays["items"] * 0 - 1})


def test_new_users_get_the_first_places_by_name_and_unknown_items_do_not_matter():
    split, model = split_of(), Markov(Markov.default())
    model.fit(split.stages["final"].train, Context())
    run = {"facts": split.facts, "task_id": split.task_id, "context": dict(split.context)}
    new = circle(users=3, events=9, seed=4)
    asked = NextEvent().inference_inputs(new, run, {}, profile("smoke"))
    frame = NextEvent().answer_frame(asked, model.predict(asked.inputs, Context()).arrays())
    assert frame.columns == ["user", "rank", "item", "score"]
    assert frame.filter(pl.col("user") == "u00")["rank"].to_list() == list(range(1, 11))
    last = int(new.frame.filter(pl.col("user").cast(pl.String) == "u00")["item"].cast(pl.String)[-1][1:])
    assert frame["item"][0] == f"i{(last + 1) % CIRCLE:02d}"
    with pytest.raises(DataError, match="none of its items is among the 12"):
        NextEvent().inference_inputs(circle(prefix="x"), run, {}, profile("smoke"))


def test_recall_by_length_of_the_list_rises_and_ends_at_one_where_all_is_listed():
    from bench.tasks.base import ModelResult

    split = split_of()
    lines = NextEvent().details(split, [ModelResult("markov", "default", None, {}, answer(split))])
    whole = [line["recall"] for line in lines if line["targets"] == "all"]
    assert whole == sorted(whole)
    assert [line["k"] for line in lines if line["targets"] == "all"] == [1, 2, 5, 10]


def test_a_rankings_arrays_go_by_name():
    assert set(Ranking(np.zeros((1, 2), np.int32), np.zeros((1, 2), np.float32)).arrays()) == {"items", "scores"}
