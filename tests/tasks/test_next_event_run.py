"""A run of next events on simulated logs: its ceiling, its pages, what is published of it, and what it foretells for new data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bench
from bench.cli import invoke
from bench.execute.prediction_files import read_prediction
from bench.publish.package import package
from bench.publish.publish import publish
from bench.publish.verify import verify
from bench.registry import discover
from bench.report import build
from bench.tasks.next_event.task import PUBLISHED, NextEvent

MODELS = ["popular", "recent-popular", "last-item"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Run floors on two simulators; gives the run folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("next") / "run"
        bench.run("next-event", datasets=["retail", "social"], models=MODELS, profile="smoke", out=folder)
    return folder


def rows(run: Path) -> list[dict[str, object]]:
    return pl.read_parquet(run / "leaderboard.parquet").to_dicts()


def figure(run: Path) -> dict[str, object]:
    found = json.loads((run / "figures.json").read_text())
    return next(one for one in found if one["kind"] == "next-users" and one["dataset"] == "social-sim")


def test_the_oracle_stands_above_all_where_there_is_something_to_find_and_is_no_row(run):
    social = [r for r in rows(run) if r["dataset"] == "social-sim"]
    ((value, low, high),) = {(r["ceiling"], r["ceiling_low"], r["ceiling_high"]) for r in social}
    assert max(r["ndcg_10"] for r in social) < value
    assert low <= value <= high
    assert {r["model"] for r in social} == set(MODELS)
    # a shop's codes are drawn by popularity alone: whoever counts well is level with who knows it
    shop = {r["model"]: r for r in rows(run) if r["dataset"] == "retail-sim"}
    assert shop["popular"]["ndcg_10"] == pytest.approx(shop["popular"]["ceiling"], abs=0.02)


def test_models_of_kinds_are_searched_and_ranked(tmp_path):
    file = tmp_path / "clicks.csv"
    kinds = ("view", "cart", "buy")
    lines = ["user,time,kind"]
    for user in range(30):
        lines += [f"u{user},2024-{1 + day // 28:02}-{1 + day % 28:02}T{user % 24:02}:00:00,{kinds[(user + day) % 3]}" for day in range(40)]
    file.write_text("\n".join(lines))
    board = bench.run(
        "next-event", data=file, models=["popular", "markov"], profile="smoke", trials=3, out=tmp_path / "run",
        options={"target": "kind"},
    )  # fmt: skip
    found = {(r["model"], r["tuning"]): (r["status"], r["accuracy"]) for r in board.rows}
    # who goes round is foretold by the kind before, and not by what is frequent
    assert found["markov", "tuned"] == ("ok", pytest.approx(1.0))
    assert found["popular", "default"][1] < 0.6


def test_a_boards_page_shows_the_parts_of_the_score_and_some_users(run):
    site = build(run).parent
    text = next(site.glob("board-social-sim-*.html")).read_text()
    assert "by an oracle that knows how the truth was made" in text
    for words in ("had before, and of new ones", "by their events before the test", "Recall by length", "coverage@10 against nDCG@10"):
        assert words in text
    shown = figure(run)
    assert shown["told"] == ["last-item", "popular"]
    assert len(shown["users"]) == 10
    assert len({one["user"] for one in shown["users"]}) == 10
    right = sum(bool(set(one["came"]) & set(one["told"][0])) for one in shown["users"])
    assert right > 0
    assert text.count("first five of last-item") == 1
    # what came stands in bold where it was foretold
    assert text.partition("Some users, one by one")[2].partition("The data set")[0].count("<strong>") >= right


def test_users_are_shown_as_they_are_in_the_log(run):
    (data,) = [d for d in json.loads((run / "run.json").read_text())["datasets"] if d["name"] == "social-sim"]
    assert "law" not in json.dumps(data["facts"])
    from bench.sources.load import loaded, requested

    registry = discover()
    (request,) = requested(["social"], None, registry)
    events = loaded(request, registry, {}, size=200, seed=0).events.frame
    for one in figure(run)["users"]:
        own = events.filter(pl.col("user").cast(pl.String) == one["user"])
        moment = pl.lit(one["time"]).str.to_datetime("%FT%T", time_unit="us", time_zone="UTC")
        then = own.filter(pl.col("time").dt.truncate("1s") == moment)["item"].cast(pl.String).to_list()
        before = own.filter(pl.col("time") < moment)["item"].cast(pl.String).to_list()
        assert set(one["came"]) <= set(then)
        assert [b for b in one["history"] if b != "(another item)"] == [
            b for b, shown in zip(before[-5:], one["history"], strict=True) if shown != "(another item)"
        ]


@pytest.mark.parametrize("with_figures", [False, True])
def test_nothing_of_single_users_is_published(run, with_figures):
    made = package(run, with_figures=with_figures)
    told = made.read("figures.json").decode()
    assert "next-users" not in told
    assert figure(run)["users"][0]["time"] not in told
    assert {one["kind"] for one in json.loads(told)} == {"overview"}


def test_a_published_ceiling_is_made_again_from_the_data_and_a_place_shows_no_users(run, tmp_path):
    publish(run, str(tmp_path / "place"), with_figures=True)
    checked = verify(str(tmp_path / "place"), discover())
    assert not checked.failures
    assert {line.level for line in checked.lines} == {"re-scored"}
    pages = [page.read_text() for page in (tmp_path / "place" / "site").rglob("*.html")]
    assert any("Recall by length" in text for text in pages)
    assert not any("Some users" in text or figure(run)["users"][0]["time"] in text for text in pages)


def test_the_first_places_of_a_ranking_are_published_and_a_model_that_is_fitted_again_agrees_with_them(run, tmp_path):
    place = tmp_path / "place"
    publish(run, str(place))
    index = pl.read_parquet(next((place / "runs").iterdir()) / "predictions.parquet")
    for file in index["file"]:
        (stored,), (sent,) = read_prediction(run / file), read_prediction(next((place / "runs").iterdir()) / file)
        assert set(sent) == {"items"}
        assert stored["items"].shape[1] > PUBLISHED == sent["items"].shape[1]
        assert np.array_equal(sent["items"], stored["items"][:, :PUBLISHED])
    checked = verify(str(place), discover(), rerun=2)
    assert not checked.failures
    assert sum(line.level == "re-run" for line in checked.lines) == 2


def test_chances_of_kinds_are_published_whole():
    prediction = [{"items": np.tile(np.arange(30, dtype=np.int32), (4, 1)), "scores": np.full((4, 30), 1 / 30, np.float32)}]
    assert NextEvent().published(prediction, "accuracy") is prediction
    assert list(NextEvent().published(prediction, "ndcg_10")[0]) == ["items"]


def test_new_data_gets_a_ranked_list_for_each_user(run, tmp_path, capsys):
    assert invoke(["data", "simulate", "social", str(tmp_path / "new"), "--size", "60", "--seed", "9"]) == 0
    capsys.readouterr()
    command = ["predict", str(run), "--dataset", "social-sim", "--model", "last-item", "--data", str(tmp_path / "new" / "messages.txt")]
    assert invoke([*command, "--out", str(tmp_path / "found.csv")]) == 0
    assert "what 60 users do from 2024-07-" in capsys.readouterr().err
    found = pl.read_csv(tmp_path / "found.csv", infer_schema=False)
    assert found.columns[:4] == ["user", "rank", "item", "score"]
    assert found["user"].n_unique() > 50
    each = found.group_by("user").agg(pl.col("rank"), pl.col("item").n_unique().alias("n"))
    assert all(ranks == [str(k) for k in range(1, 11)] and n == 10 for _, ranks, n in each.iter_rows())
