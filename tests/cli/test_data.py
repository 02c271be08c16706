"""Own files and named sets from the command line: from `--data FILE` to a leaderboard, add, fetch, simulate, list."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

import bench
from bench.cli import invoke
from bench.cli.run import configuration
from bench.sources.download import DOWNLOADS, Download, File

QUICK = ["--task", "churn", "--profile", "smoke", "--model", "recency", "--workers", "1", "--quiet"]


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Write a year of visits of 300 users, half of whom stop at some time, with columns of their own."""
    rng, rows = random.Random(1), ["klient;moment;was"]
    for user in range(300):
        last = rng.choice([365, rng.randrange(60, 365)])
        rows += [f"k{user};{date(2023, 1, 1) + timedelta(days=d)};visit" for d in range(rng.randrange(20), last, rng.randrange(3, 15))]
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


MAP = ["--user", "klient", "--time", "moment", "--kind", "was"]


def test_an_own_csv_with_its_own_columns_ends_in_a_leaderboard(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", *QUICK, "--data", str(shop), *MAP, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    [row] = document["rows"]
    assert (row["dataset"], row["model"], row["status"], row["simulated"]) == ("visits", "recency", "ok", False)
    assert "/activity=visit/" in row["task_id"]
    assert pl.read_parquet(document["leaderboard"]).height == 1
    config = json.loads((Path(document["folder"]) / "run.json").read_text())["config"]
    assert config["datasets"] == [f"events={shop}"]


def test_own_files_stand_in_study_files_beside_other_data(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text('task = "churn"\ndata = "x.csv"\nuser = "klient"\ntime-unit = "ms"\ndataset = "retail"\n')
    config = configuration(study, {"user": "kunde", "zone": "Europe/Berlin"})
    assert config.datasets == ("retail", "events=x.csv")
    assert config.options == {"events.user": "kunde", "events.time_unit": "ms", "events.zone": "Europe/Berlin"}


def test_python_takes_a_frame(shop: Path) -> None:
    frame = pl.read_csv(shop, separator=";").with_columns(pl.col("moment").str.to_date())
    own = {"data": frame.to_pandas(), "user": "klient", "time": "moment"}
    [row] = bench.run("churn", models=["recency"], profile="smoke", workers=1, **own).rows
    assert (row["status"], row["dataset"]) == ("ok", "data")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "nowhere.csv"], "no file or folder nowhere.csv"),
        (["--data", "visits.csv"], "no column is known as the user"),
        (["--data", "visits.csv", "--user", "client", "--time", "moment"], "no column 'client'; did you mean 'klient'?"),
        (["--data", "visits.csv", *MAP, "--zone", "Berlin"], "zone 'Berlin' is no time zone"),
        (["--data", "visits.csv", *MAP, "--time-unit", "sec"], "option time_unit='sec' is unknown; use s, ms, us, ns"),
        (["--user", "klient"], "--user goes with --data FILE"),
    ],
)
def test_what_is_wrong_with_own_files_is_one_line(arguments: list[str], words: str, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.exists()
    assert invoke(["run", *QUICK, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert captured.out == ""


# ---- named sets


def add(shop: Path, name: str = "my-shop") -> list[str]:
    sets = ["--set", "events.user=klient", "--set", "events.time=moment"]
    return ["data", "add", name, str(shop), "--adapter", "events", *sets]


def test_a_registered_set_is_listed_described_run_by_name_and_removed(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(add(shop)) == 0
    assert "added my-shop: " in capsys.readouterr().out
    assert invoke(["data", "list", "--json"]) == 0
    [named] = json.loads(capsys.readouterr().out)["registered"]
    assert named == {"registered": "my-shop", "adapter": "events", "holds": "events", "path": str(shop)}
    assert invoke(["data", "info", "my-shop", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["users"] == 300
    assert invoke(["run", *QUICK, "--dataset", "my-shop", "--json"]) == 0
    assert [row["dataset"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["my-shop"]
    assert invoke(["data", "add", "--remove", "my-shop"]) == 0
    assert invoke(["run", *QUICK, "--dataset", "my-shop"]) == 2
    assert "unknown dataset 'my-shop'" in capsys.readouterr().err


def test_what_cannot_be_read_is_not_registered(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [
        (["data", "add", "x", str(shop), "--adapter", "events"], "no column is known as the user"),
        (["data", "add", "x", "nowhere", "--adapter", "events"], "no file or folder nowhere"),
        (["data", "add", "x", "--adapter", "events"], "no path is given"),
        (["data", "add", "x", str(shop)], "no adapter is given; add --adapter A"),
        (["data", "add", "x", str(shop), "--adapter", "evnts"], "unknown dataset adapter 'evnts'; did you mean 'events'?"),
        (["data", "add", "x", str(shop), "--adapter", "events", "--set", "events.usr=klient"], "no such option; did you mean 'user'?"),
        (["data", "add", "retail", str(shop), "--adapter", "events"], "is the name of an adapter"),
        (["data", "add", "--remove", "x"], "no registered data set 'x'"),
    ]
    for arguments, words in wrong:
        assert invoke(arguments) == 2
        assert words in capsys.readouterr().err
    assert invoke(["data", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["registered"] == []


def test_series_are_added_described_and_refused_by_churn(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "add", "m4", str(real / "m4_hourly"), "--adapter", "series", "--json"]) == 0
    added = json.loads(capsys.readouterr().out)
    assert (added["holds"], added["rows"]) == ("series", 414 * 48 + 245 * 960 + 169 * 700)
    assert invoke(["data", "info", "m4", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["series"], facts["shortest"], facts["longest"], facts["test"]) == (414, 748, 1_008, 414 * 48)
    assert invoke(["data", "info", "m4"]) == 0
    assert "414 series" in capsys.readouterr().out
    assert invoke(["data", "check", "series", str(real / "m4_hourly"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["series"] == 414
    assert invoke(["run", *QUICK, "--dataset", "m4"]) == 2
    assert "data set 'm4' holds series; churn needs an event log" in capsys.readouterr().err


def test_data_check_says_what_was_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("user_id,ts\na,1704103200\n")
    assert invoke(["data", "check", "events", "a.csv"]) == 0
    assert "columns guessed: user = user_id, time = ts; column 'ts': Unix times in seconds" in capsys.readouterr().out


# ---- downloads and simulations


def test_a_fetched_set_is_registered_under_its_name(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import bench.sources.download

    def served(file: File, folder: Path, _progress: object) -> str:
        (folder / file.name).write_bytes(shop.read_bytes().replace(b"klient;moment;was", b"user;time;kind"))
        return "ab" * 32

    monkeypatch.setattr(bench.sources.download, "_fetched", served)
    monkeypatch.setitem(DOWNLOADS, "visits", Download("events", (File("https://x/visits.csv"),), "none", "visits.csv"))
    assert invoke(["data", "fetch", "visits"]) == 0
    captured = capsys.readouterr()
    assert "added visits: " in captured.out
    assert "no checksum is known to compare it with" in captured.err
    assert invoke(["data", "info", "visits", "--json"]) == 0
    capsys.readouterr()
    assert invoke(["data", "fetch", "visits"]) == 2
    assert "'visits' is registered already" in capsys.readouterr().err


def test_a_download_that_fails_is_one_line_and_registers_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(DOWNLOADS, "visits", Download("events", (File("http://127.0.0.1:9/visits.csv"),), "none"))
    assert invoke(["data", "fetch", "visits", "--to", str(tmp_path / "to")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: http://127.0.0.1:9/visits.csv: the server cannot be reached; check the connection")
    assert captured.err.count("\n") == 1
    assert list((tmp_path / "to").iterdir()) == []
    assert not (tmp_path / "config").exists()


def test_what_can_be_downloaded_is_listed_and_what_cannot_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "fetch"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in DOWNLOADS)
    assert "netflix-prize: the terms of the Netflix Prize forbid" in out
    assert invoke(["data", "fetch", "netflix-prize"]) == 2
    assert "bench data add netflix-prize FOLDER --adapter netflix" in capsys.readouterr().err
    assert invoke(["data", "fetch", "--json"]) == 0
    assert {d["sha256"] for d in json.loads(capsys.readouterr().out)["downloads"]} >= {"unknown"}


def test_a_simulated_log_is_written_in_its_raw_form_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        assert invoke(["data", "simulate", "retail", name, "--size", "20", "--seed", "3"]) == 0
    assert "bench run --task churn --dataset retail=two" in capsys.readouterr().out
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert invoke(["data", "check", "retail", "one", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["users"] > 0
    for arguments, words in (
        (["retail", "one"], "one is there already and not empty"),
        (["events", "three"], "adapter 'events' has no simulator"),
        (["retail", "three", "--size", "0"], "--size"),
    ):
        assert invoke(["data", "simulate", *arguments]) == 2
        assert words in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["one", "two"]
