"""Each campaign in its short form: a few rounds, none lost; the long forms are run by hand."""

import random
import shutil
from pathlib import Path

import polars as pl
import pytest
from campaigns import campaign, fuzz, plugins, soak, tamper
from campaigns import publish as publishers


def test_a_campaign_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    played: list[int] = []

    def play(draw: random.Random) -> dict[str, object]:
        played.append(draw.randrange(1_000))
        return {"kind": "a" if played[-1] % 2 else "b", "end": "found"}

    out = tmp_path / "out.jsonl"
    campaign.run(play, 3, out=out)
    out.write_text(out.read_text()[:-5])
    found = campaign.run(play, 4, out=out)
    assert len(found) == 4
    # the third was cut off and is played again, as it was
    assert len(played) == 5
    assert played[2] == played[3]
    table = campaign.table(found).splitlines()
    assert table[0].split() == ["kind", "tried", "survived", "found", "lost"]
    assert table[-1].split() == ["all", "4", "0", "4", "0"]


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    reader = fuzz.Reader()
    try:
        found = campaign.run(fuzz.rounds(tmp_path, reader), 40, seed=7)
    finally:
        reader.close()
    assert [line for line in found if line["end"] == "lost"] == []
    assert {line["end"] for line in found} == {"survived", "found"}


def test_what_somebody_changes_in_a_board_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tamper, "KINDS", (*tamper.KINDS[:5], *tamper.KINDS[-3:]))
    found = campaign.run(tamper.rounds(tmp_path), 5, seed=3)
    assert [line for line in found if line["end"] == "lost"] == []
    assert any(line["end"] == "found" for line in found)


def test_a_hostile_plugin_ends_as_a_row_and_the_honest_one_after_it_is_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("replaces np.save", "forges messages", "writes over numpy")
    monkeypatch.setattr(plugins, "FIT", {name: plugins.FIT[name] for name in quick})
    raises = {"raises": plugins.zoo("")["raises"]}
    monkeypatch.setattr(plugins, "zoo", lambda _: raises)
    monkeypatch.setenv("BENCH_CACHE", "")
    found = campaign.run(plugins.rounds(tmp_path), 3, seed=4)
    assert [line for line in found if line["end"] == "lost"] == []
    assert any(line["end"] == "found" for line in found)


def test_two_publishers_of_whom_some_are_killed_leave_whole_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    found = campaign.run(publishers.rounds(tmp_path, ("folder",)), 1, seed=1)
    assert [line for line in found if line["end"] == "lost"] == []


def test_a_long_ledger_is_read_and_not_kept(tmp_path: Path) -> None:
    assert soak.ledger(tmp_path, 1_000)["entries"] == 1_000
    with soak.traced() as size:
        before = size()
        with soak.Ledger(tmp_path / "long") as found:
            # a key and where its line begins; its entry would take some 3,000 bytes
            assert (size() - before) / len(found.entries) < 300
            # what is asked for is small too: scores under resamples are numbers, not objects
            assert {type(drawn).__name__ for e in found.entries.values() for drawn in e["replicates"].values()} == {"array"}


def test_what_a_run_keeps_does_not_grow_with_its_trials(tmp_path: Path) -> None:
    # of 6 or 7 jobs for 4 trials a key and where its line begins; caches of Python's own, not yet full, are counted too
    assert soak.kept(tmp_path, warm=4, count=10) < 1_000


def test_a_cluster_that_is_disturbed_leaves_the_ledger_of_a_local_run(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed; it comes with the extra ray")
    from campaigns import cluster

    found = campaign.run(cluster.rounds(tmp_path), 6, seed=5)
    assert [line for line in found if line["end"] == "lost"] == []
    kinds = {word for line in found for word in line["kind"].split(", ")}
    assert kinds == {"churn", "forecasting", "anomaly", *cluster.DISTURBANCES}


def test_a_run_that_is_killed_and_given_again_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    from campaigns import kill
    from campaigns.commands import Server

    # of this seed's moments the first comes in every run: when a final prediction is written
    with Server() as server:
        (line,) = campaign.run(kill.rounds(tmp_path, server), 1, seed=621)
    assert (line["end"], line["words"]) == ("survived", "")
    assert line["kills"][0] | {"in": ""} == {
        "signal": "SIGTERM",
        "to": "supervisor",
        "in": "",
        "when": "0.000 s after predictions written",
        "how": "fork",
    }
    assert kill.counted([line]).startswith("kills: ")


def test_what_the_campaign_of_kills_checks_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from campaigns import kill, kill_checks
    from campaigns.commands import STUCK, Server

    with Server() as server:
        plain = kill.calm(tmp_path, "forecasting", server)
    for name, change in {
        "files": lambda run: (run / "leaderboard.part").touch(),
        "twice": lambda run: (run / "ledger.jsonl").write_text("".join(2 * (run / "ledger.jsonl").read_text().splitlines(True))),
        "entries": lambda run: (run / "ledger.jsonl").write_text((run / "ledger.jsonl").read_text().split("\n", 1)[1]),
        "rows": lambda run: pl.read_parquet(run / "leaderboard.parquet").head(1).write_parquet(run / "leaderboard.parquet"),
    }.items():
        run = Path(shutil.copytree(plain, tmp_path / name))
        assert kill_checks.differing(plain, run) == ""
        change(run)
        assert name in kill_checks.differing(plain, run)
    monkeypatch.setattr(kill_checks, "GONE_SECONDS", 0.0)
    (tmp_path / "tmp" / "bench-left").mkdir(parents=True)
    assert "bench-left" in kill_checks.left(tmp_path)
    assert kill_checks.told((0, "Traceback (most recent call last):\nKeyError: 1"), killed=True)
    assert kill_checks.told((STUCK, ""), killed=True)
    assert kill_checks.told((130, ""), killed=False)
    assert kill_checks.told((130, ""), killed=True) == ""
