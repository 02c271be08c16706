import json
import shutil
from pathlib import Path

import pytest
from publish.kit import run_of, variant

import bench
from bench.cli import invoke
from bench.publish.publish import publish, rebuild, retract
from bench.publish.verify import verify
from bench.registry import discover


def document(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, object]:
    """Run `bench verify --json` and give what it printed."""
    assert invoke(["verify", *words, "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Write a simulated log to a folder: data that is given by its path."""
    assert invoke(["data", "simulate", "retail", str(tmp_path / "shop"), "--size", "200", "--seed", "1"]) == 0
    return tmp_path / "shop"


@pytest.fixture
def shop_place(shop: Path, tmp_path: Path) -> Path:
    """Publish a run on that folder."""
    bench.run("churn", datasets=[f"retail={shop}"], models=["base-rate", "recency"], profile="smoke", out=tmp_path / "own")
    publish(tmp_path / "own", str(tmp_path / "board"))
    return tmp_path / "board"


def test_every_row_of_simulated_data_is_scored_again_with_nothing_given(place: Path) -> None:
    found = verify(str(place), discover())
    assert found.failures == []
    assert {(line.level, line.words) for line in found.lines} == {("re-scored", "")}


def test_chosen_cells_are_fitted_again_and_predict_the_same(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = document(capsys, str(place), "--rerun", "2")["rows"]
    again = [row for row in rows if row["level"] == "re-run"]
    assert len(again) == 2
    assert all(row["check"].startswith("fitted again: the same predictions") for row in again)
    assert "ensemble" not in {row["model"] for row in again}


def test_without_the_data_rows_are_claimed_and_say_what_to_give(
    shop_place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "nothing"))
    found = document(capsys, str(shop_place), "--rerun", "2")
    assert {(row["level"], row["check"]) for row in found["rows"]} == {
        ("claimed", "the data is not at hand: give it with --source retail-sim=PATH")
    }
    assert found["notes"] == ["--rerun 2: 0 rows can be fitted again here: of the others the data is not at hand, or they have no fit"]


def test_data_is_found_in_the_cache_by_its_fingerprint(shop_place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {row["level"] for row in document(capsys, str(shop_place))["rows"]} == {"re-scored"}


def test_data_is_taken_from_the_source_that_is_given(
    shop_place: Path, shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "nothing"))
    assert {row["level"] for row in document(capsys, str(shop_place), "--source", f"retail-sim={shop}")["rows"]} == {"re-scored"}


def test_a_source_that_is_other_data_fails_with_both_fingerprints(
    shop_place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["data", "simulate", "retail", str(tmp_path / "other"), "--size", "200", "--seed", "2"]) == 0
    capsys.readouterr()
    found = document(capsys, str(shop_place), "--source", f"retail-sim={tmp_path / 'other'}", code=3)
    assert all("fingerprint: the rows say" in words and "has" in words for words in found["failures"])
    (tmp_path / "junk.csv").write_text("what,ever\n1,2\n")
    found = document(capsys, str(shop_place), "--source", f"retail-sim={tmp_path / 'junk.csv'}", code=3)
    assert all("the data cannot be read or split here: " in words for words in found["failures"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "retail-sim"], "is no NAME=PATH"),
        (["--source", "retail-sin=x"], "did you mean 'retail-sim'"),
        (["--source", "retail-sim=nowhere"], "--source retail-sim=nowhere: no such file or folder"),
        (["--rerun", "-1"], "is negative"),
    ],
)
def test_wrong_arguments_end_in_one_line(place: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["verify", str(place), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_a_published_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["verify", str(tmp_path)]) == 2
    assert "no run is published here" in capsys.readouterr().err


def test_the_table_says_of_every_row_how_far_it_was_checked(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["verify", str(place)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["dataset", "model", "tuning", "seed", "level", "check"]
    assert ["retail-sim", "recency", "default", "0", "re-scored", "ok"] in [line.split() for line in lines]
    assert lines[-1].endswith("nothing failed")


def test_a_retracted_run_is_noted_and_only_its_files_are_checked(place: Path) -> None:
    run = run_of(place)
    retract(run, str(place), "wrong data")
    found = verify(str(place), discover())
    assert found.failures == []
    assert found.lines == []
    assert found.notes == [f"run {run} is retracted: only its files were checked"]


def test_a_publication_that_was_cut_off_is_noted_and_no_fault(made: Path, place: Path, tmp_path: Path) -> None:
    publish(variant(made, tmp_path / "b", lambda row: {**row, "dataset": "other"}), str(tmp_path / "else"))
    half = run_of(tmp_path / "else")
    shutil.copytree(tmp_path / "else" / "runs" / half, place / "runs" / half)
    found = verify(str(place), discover())
    assert found.failures == []
    assert any(half in note and "never committed" in note for note in found.notes)


def test_an_outdated_board_fails_with_the_cure_and_the_cure_mends_it(made: Path, place: Path, tmp_path: Path) -> None:
    old = (place / "board.parquet").read_bytes()
    publish(variant(made, tmp_path / "b", lambda row: {**row, "dataset": "other"}), str(place))
    (place / "board.parquet").write_bytes(old)
    failures = verify(str(place), discover()).failures
    assert failures == [f"board.parquet: not what its runs give; derive it with bench publish --rebuild {place}"]
    rebuild(str(place))
    assert verify(str(place), discover()).failures == []


def test_forecasts_and_anomaly_scores_are_verified_too(tmp_path: Path) -> None:
    forecast = {"datasets": ["retail"], "models": ["naive", "seasonal-naive", "croston-sba"]}
    anomaly = {"datasets": ["social"], "models": ["random", "rolling-mean"]}
    for task, arguments in (("forecasting", forecast), ("anomaly", anomaly)):
        bench.run(task, **arguments, profile="smoke", trials=1, out=tmp_path / task)
        publish(tmp_path / task, str(tmp_path / "place"))
    found = verify(str(tmp_path / "place"), discover(), rerun=4)
    assert found.failures == []
    scored = [line for line in found.lines if line.row["status"] == "ok"]
    assert {line.row["task"] for line in scored} == {"forecasting", "anomaly"}
    assert {line.level for line in scored} == {"re-scored", "re-run"}
    assert sum(line.level == "re-run" for line in scored) == 4
