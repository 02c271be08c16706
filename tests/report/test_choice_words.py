"""What a search page says of what the search came to."""

from __future__ import annotations

import json
from typing import Any

from bench.report.choice_words import choice_words


def choice(tuning: str, score: float, *, kept: bool = False, **replicates: list[float]) -> dict[str, Any]:
    drawn = {"tuned": [score - 0.01, score + 0.01], **replicates}
    scores = {"tuned": [score, score + 0.02]}
    params = json.dumps({"of": "default" if kept else tuning})
    return {"tuning": tuning, "kept_default": kept, "params": params, "scores": json.dumps(scores), "replicates": json.dumps(drawn)}


def test_what_replaces_the_default_says_by_how_much_and_what_unseen_users_say() -> None:
    found = choice("tuned", 0.72, **{"tuned-unseen": [0.0123, 0.004, 9.0]})
    found["replicates"] = json.dumps({**json.loads(found["replicates"]), "tuned": [0.70, 0.74]})
    (words,) = choice_words([choice("default", 0.70), found], higher=True)
    assert words.split(". ") == [
        "tuned: what the search found stands for the model",
        "On the validations it is better than the default by 0.0200 (standard error 0.0100)",
        "Users whom it had not seen say +0.0123 (standard error 0.0040) against the default",
        "To replace the default the mean of both, past and unseen, must exceed 1.5 of its standard errors.",
    ]


def test_without_labels_a_least_advantage_is_named() -> None:
    (words,) = choice_words([choice("default", 0.70), choice("label-free", 0.75)], higher=True)
    assert words.endswith("To replace the default an advantage must exceed 1.5 of its standard errors, and 0.05.")


def test_a_mean_of_before_a_least_advantage_was_asked_for_is_not_said_to_have_met_one() -> None:
    found = choice("label-free", 0.72)
    for order, named in (((0, 0, 1, 2), True), ((0, 1, 2), False)):
        mean = {**found, "params": json.dumps({"mean_of": [{"x": n} for n in order]})}
        (words,) = choice_words([choice("default", 0.70), mean], higher=True)
        assert words.endswith("and 0.05.") is named


def test_of_errors_less_is_better() -> None:
    (words,) = choice_words([choice("default", 0.70), choice("tuned", 0.65)], higher=False)
    assert "better than the default by 0.0500 (standard error 0.0000)" in words
    assert words.endswith("To replace the default an advantage must exceed 1.5 of its standard errors.")


def test_a_default_that_was_kept_tells_only_what_unseen_users_say() -> None:
    kept = choice("tuned", 0.70, kept=True, **{"tuned-unseen": [-0.001, 0.002, 9.0]})
    (words,) = choice_words([choice("default", 0.70), kept], higher=True)
    assert words.startswith("tuned: what the search found was not enough: the default stands. Users whom it had not seen say -0.0010")
    assert "On the validations" not in words


def test_what_windows_say_together_is_told_with_what_was_needed() -> None:
    (words,) = choice_words([choice("default", 0.70), choice("tuned", 0.72, **{"tuned-together": [0.0123, 0.004, 9.0]})], higher=True)
    assert words.split(". ")[2:] == [
        "Over its and older windows and other seeds it is +0.0123 (standard error 0.0040) against the default",
        "To replace the default that must exceed 1.75 of its standard errors, of the best trial alone 2.5.",
    ]


def test_a_half_of_the_labels_that_kept_the_default_says_so_where_the_other_did_not() -> None:
    """The row of both has not kept it, so neither choice is said to; what they chose is."""
    default, own, other = choice("default", 0.70), choice("tuned", 0.70), choice("tuned", 0.72)
    halves = [{**own, "params": default["params"]}, {**other, "tuning": "tuned-2"}]
    one, two = choice_words([default, *halves], higher=True)
    assert one.startswith("tuned: what the search found was not enough: the default stands. To replace")
    assert two.startswith("tuned, by the labels of the other half: what the search found stands for the model")


def test_where_nothing_was_chosen_nothing_is_said() -> None:
    assert choice_words([], higher=True) == []
    assert choice_words([choice("default", 0.70)], higher=True) == []
