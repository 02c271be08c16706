"""What a row says of its search follows from the published search, and that from its validation predictions."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import run_kit
from publish.kit import Files, edited, forged, npz, only, run_of

from bench.publish.package import parquet
from bench.publish.publish import publish
from bench.publish.search_tables import CHOICES, TRIALS
from bench.publish.verify import verify
from bench.registry import discover

Change = Callable[[Files], None]
SCHEMAS = {"trials.parquet": TRIALS, "choices.parquet": CHOICES}


def tables(files: Files, name: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    rows = change(pl.read_parquet(io.BytesIO(files[name])).to_dicts())
    files[name] = parquet(pa.Table.from_pylist(rows, SCHEMAS[name]))


def altered(name: str, model: str, **changes: Any) -> Change:
    """Change the first of a model's records; a callable is given what was there."""

    def change(files: Files) -> None:
        def one(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            at = next(n for n, row in enumerate(rows) if row["model"] == model)
            row = rows[at]
            rows[at] = {**row, **{key: value(row[key]) if callable(value) else value for key, value in changes.items()}}
            return rows

        tables(files, name, one)

    return change


def rows(model: str, tuning: str, **changes: Any) -> Change:
    return lambda files: edited(files, only(model, tuning, **changes))


def scaled(text: str) -> str:
    return json.dumps({tuning: [0.9 * v for v in values] for tuning, values in json.loads(text).items()})


def one_trial_less(files: Files) -> None:
    tables(files, "trials.parquet", lambda found: [t for t in found if not (t["model"] == "rfm-logit" and t["number"] == 0)])


def better_trial(files: Files) -> None:
    """Claim that another trial was better than what was chosen: as if trials had been looked through for the best on test."""

    def best_last(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**t, "params": json.dumps({"C": 123.0})} if t["model"] == "rfm-logit" and t["number"] == 1 else t for t in found]

    tables(files, "trials.parquet", best_last)
    tables(
        files,
        "choices.parquet",
        lambda found: [
            {**c, "kept_default": False, "params": json.dumps({"C": 77.0})} if (c["model"], c["tuning"]) == ("rfm-logit", "tuned") else c
            for c in found
        ],
    )


def one_validation_more(files: Files) -> None:
    def more(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**c, "validations": c["validations"] + (c["tuning"] == "tuned" and c["model"] == "rfm-logit")} for c in found]

    tables(files, "choices.parquet", more)


def other_validation(files: Files) -> None:
    choices = pl.read_parquet(io.BytesIO(files["choices.parquet"])).filter(pl.col("model") == "base-rate")
    name = next(iter(json.loads(choices["files"][0]).values()))
    shape = pl.Series(range(50)).to_numpy() / 50
    files[name] = npz(**{"0.prediction": shape})


CHANGES: dict[str, tuple[Change, str]] = {
    "a trial that is left out": (one_trial_less, "its trials are not numbered from 0 without a gap: one was removed"),
    "a choice by test": (better_trial, "tuned: what it chose is neither the default nor the mean of the best 2"),
    "scores of the default": (altered("choices.parquet", "base-rate", scores=scaled), "its search gives"),
    "scores under resamples": (altered("choices.parquet", "base-rate", replicates=scaled), "its scores under resamples"),
    "a validation prediction": (other_validation, "does not fit the data"),
    "more validations than the data give": (
        altered("choices.parquet", "recency", validations=lambda found: found + 1),
        "validations, the data give",
    ),
    "validations that a choice has not met": (one_validation_more, "validations (tuned), and have"),
    "a choice that is left out": (
        lambda files: tables(files, "choices.parquet", lambda found: [c for c in found if c["model"] != "recency"]),
        "recency on retail-sim: its search is not among those published",
    ),
    "scores that are no numbers": (altered("trials.parquet", "rfm-logit", scores='{"tuned": [NaN]}'), "expected lists of numbers"),
    "a path out of the folder": (altered("choices.parquet", "base-rate", files='{"search": "../../x.npz"}'), "is refused"),
}


ROWS = (
    ("rfm-logit", "default", {"trials": 9}, "trials: the row says 9, its search gives 2"),
    ("rfm-logit", "default", {"fits": 1}, "fits: the row says 1, its search gives 2"),
    ("rfm-logit", "default", {"failed_trials": 1}, "failed_trials: the row says 1, its search gives 0"),
    ("rfm-logit", "default", {"search_seconds": 0.5}, "search_seconds: the row says 0.5"),
    ("rfm-logit", "default", {"valid_score": 0.999}, "valid_score: the row says 0.999"),
    ("rfm-logit", "default", {"stopped_by": "minutes"}, "stopped_by: the row says minutes"),
    ("rfm-logit", "default", {"params": "{}"}, "params: the row says {}"),
    ("rfm-logit", "tuned", {"flags": []}, "flag few-trials: the row says False, its search gives True"),
    ("recency", "default", {"valid_score": 0.99}, "valid_score: the row says 0.99, its search gives"),
)


def test_what_a_row_says_of_its_search_follows_from_it(place: Path) -> None:
    def change(files: Files) -> None:
        for model, tuning, changes, _ in ROWS:
            rows(model, tuning, **changes)(files)

    forged(place, change, whole=False)
    failures = verify(str(place), discover()).failures
    assert [said for *_, said in ROWS if not any(said in words for words in failures)] == []


@pytest.mark.parametrize("name", CHANGES)
def test_what_does_not_follow_from_the_search_is_found(place: Path, name: str) -> None:
    change, said = CHANGES[name]
    forged(place, change, whole=False)
    failures = verify(str(place), discover()).failures
    assert [words for words in failures if said in words], failures


def test_a_score_and_its_search_made_up_together_are_found_by_the_validation_prediction(place: Path) -> None:
    def change(files: Files) -> None:
        altered("choices.parquet", "base-rate", scores='{"tuned": [0.75, 0.75]}')(files)
        rows("base-rate", "default", valid_score=0.75)(files)

    forged(place, change, whole=False)
    failures = [words for words in verify(str(place), discover()).failures if words.startswith("base-rate")]
    assert any("valid_score: its search says 0.75, 0.75 for tuned, the prediction gives 0.5" in words for words in failures), failures


def test_the_published_search_tells_nothing_of_the_data(place: Path, made: Path) -> None:
    folder = place / "runs" / run_of(place)
    trials = pl.read_parquet(folder / "trials.parquet")
    ours = pl.read_parquet(made / "trials.parquet")
    assert trials.select("model", "number", "params", "value").equals(ours.select("model", "number", "params", "value"))
    assert set(pl.read_parquet(folder / "choices.parquet").columns) == set(CHOICES.names)


def test_a_run_that_was_published_without_its_search_is_verified_as_before_and_says_so(place: Path) -> None:
    def change(files: Files) -> None:
        for name in [n for n in files if n in SCHEMAS or n.startswith("valid/")]:
            del files[name]

    run = forged(place, change)
    found = verify(str(place), discover())
    assert found.failures == []
    assert f"run {run}: published without its searches: valid_score, trials, fits, failed_trials, stopped_by are claimed" in found.notes


def test_a_run_that_labels_tuned_agrees_with_what_either_half_chose(tmp_path: Path) -> None:
    """Each half of the series has a choice of its own; the row is of both, and neither can be changed unseen."""
    made, place = run_kit.anomaly(), tmp_path / "place"
    publish(made / "run", str(place))
    checked = verify(str(place), discover(), sources=[f"marked={made / 'marked.csv'}"])
    assert checked.failures == []
    assert {line.level for line in checked.lines} == {"re-scored"}
    told = pl.read_parquet(next(place.glob("runs/*/choices.parquet")))
    halves = told.filter(pl.col("tuning").is_in(["tuned", "tuned-2"]))
    assert set(halves["model"]) == {"sub-pca", "iforest"}
    assert halves.group_by("model").len()["len"].to_list() == [2, 2]


@pytest.mark.parametrize("tuning", ["tuned", "tuned-2"])
def test_what_a_half_chose_cannot_be_changed_unseen(tmp_path: Path, tuning: str) -> None:
    made, place = run_kit.anomaly(), tmp_path / "place"
    publish(made / "run", str(place))

    def change(files: Files) -> None:
        def one(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [{**c, "scores": scaled(c["scores"])} if (c["model"], c["tuning"]) == ("sub-pca", tuning) else c for c in found]

        tables(files, "choices.parquet", one)

    forged(place, change)
    failures = verify(str(place), discover(), sources=[f"marked={made / 'marked.csv'}"]).failures
    assert [words for words in failures if "sub-pca" in words and "its search says" in words], failures
