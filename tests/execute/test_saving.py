"""What final fits save comes into the run folder as plain files, and nothing that a model does there breaks a run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import run_kit
from execute.kit import cell_of, described, drive, executor_in, odd, steady, tiny_split

from bench.board import Board
from bench.cli import invoke
from bench.errors import RunFolderError
from bench.execute.prediction_files import keep_folder
from bench.runs.predict import predict
from bench.tune.plan import Budget

SAVES = {
    "files": (
        "def save(self, folder):\n"
        '    (folder / "deep" / "er").mkdir(parents=True)\n    (folder / "deep" / "er" / "a.json").write_text("{}")\n'
    ),
    "links": (
        "def save(self, folder):\n"
        '    secret = Path(os.environ["TMPDIR"]) / "secret"\n'
        '    secret.mkdir()\n    (secret / "key.txt").write_text("secret")\n'
        '    (folder / "own.txt").write_text("own")\n'
        '    (folder / "file.txt").symlink_to(secret / "key.txt")\n    (folder / "folder").symlink_to(secret)\n'
        '    (folder / "gone").symlink_to("/nowhere")\n    os.mkfifo(folder / "pipe")\n'
    ),
    "linked": (
        "def save(self, folder):\n"
        '    other = Path(os.environ["TMPDIR"]) / "other"\n    other.mkdir()\n    (other / "key.txt").write_text("secret")\n'
        "    folder.rmdir()\n    folder.symlink_to(other)\n"
    ),
    "raising": (
        'def save(self, folder):\n    (folder / "half.txt").write_text("half")\n    raise OSError(28, "No space left\\non device")\n'
    ),
    "silent": "def save(self, folder):\n    raise ValueError\n",
    "nothing": "def save(self, folder):\n    pass\n",
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory):
    """Run all of them once; give the run folder and each one's final entry."""
    place = tmp_path_factory.mktemp("saves")
    paths = [odd(place, name, body=body) for name, body in SAVES.items()] + [steady(place)]
    split = tiny_split()
    with executor_in(place / "scratch") as executor:
        cells = [cell_of(plugin, split) for plugin in described(executor, paths)]
        done = drive(executor, place / "run", cells, budget=Budget(trials=2, seeds=2))
    finals = {name: next(iter(done.outcomes[f"tiny/{name}"].finals.values())) for name in [*SAVES, "steady"]}
    return place / "run", finals, done


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_files_in_folders_are_kept_and_each_final_fit_has_its_own(ran) -> None:
    run, finals, done = ran
    assert files(run / finals["files"]["saved"]) == {"deep/er/a.json"}
    assert files(run / finals["nothing"]["saved"]) == set()
    own = [entry for entry in done.entries.values() if entry["model"] == "steady" and entry["stage"] == "final"]
    assert len({entry["saved"] for entry in own}) == len(own) >= 2
    states = [np.load(run / entry["saved"] / "state.npz")["at"][2] for entry in own]
    assert len(set(states)) == len({entry["seed"] for entry in own})


def test_links_and_what_is_no_file_are_left_behind(ran) -> None:
    run, finals, _ = ran
    assert files(run / finals["links"]["saved"]) == {"own.txt"}
    assert finals["links"]["status"] == "ok"
    saved = finals["linked"]["saved"]
    assert saved is None or files(run / saved) == set()
    assert not [path for path in (run / "models").rglob("*") if path.is_symlink()]


@pytest.mark.parametrize(("name", "reason"), [("raising", "OSError: [Errno 28] No space left on device"), ("silent", "ValueError")])
def test_a_model_that_cannot_be_saved_is_scored_all_the_same(ran, name: str, reason: str) -> None:
    _, finals, done = ran
    assert (finals[name]["status"], finals[name]["unsaved"]) == ("ok", reason)
    assert finals[name]["prediction"] is not None
    assert finals["files"]["unsaved"] == ""
    assert not [e for e in done.entries.values() if e["status"] != "ok"]


def test_the_fits_of_a_search_save_nothing(ran) -> None:
    run, _, done = ran
    assert {entry.get("saved") for entry in done.entries.values() if entry["stage"] == "search"} == {None}
    kept = {Path(entry["saved"]).name for entry in done.entries.values() if entry["saved"]}
    assert {path.name for path in (run / "models").iterdir()} == kept


def test_what_was_saved_survives_the_next_run_and_what_was_lost_is_fitted_again(tmp_path: Path) -> None:
    path, split = steady(tmp_path), tiny_split()
    with executor_in(tmp_path / "scratch") as executor:
        (plugin,) = described(executor, [path])

        def once() -> dict[str, bytes]:
            drive(executor, tmp_path / "run", [cell_of(plugin, split)], budget=Budget(trials=2, seeds=1))
            return {str(file): file.read_bytes() for file in (tmp_path / "run" / "models").rglob("*.npz")}

        before, lines = once(), (tmp_path / "run" / "ledger.jsonl").read_bytes()
        assert before == once()
        assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == lines
        # as a kill between the copy and the ledger's line would leave it
        (tmp_path / "run" / "models" / "0123.part").mkdir()
        lost = Path(next(iter(before))).parent
        lost.rename(tmp_path / "lost")
        assert before.keys() == once().keys()
        assert (tmp_path / "run" / "ledger.jsonl").read_bytes().count(b"\n") == lines.count(b"\n") + 1


def test_a_folder_is_kept_whole_and_in_place_of_what_was_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "models" / "key"
    source.mkdir()
    (source / "new.txt").write_text("new")
    (source / "up").symlink_to(tmp_path)
    os.mkfifo(source / "pipe")
    for old in (target, target.with_name("key.part")):
        old.mkdir(parents=True)
        (old / "old.txt").write_text("old")
    keep_folder(source, target)
    assert files(target) == {"new.txt"}
    assert sorted(path.name for path in target.parent.iterdir()) == ["key"]


def test_predict_says_why_a_model_cannot_be_asked_and_asks_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_kit.purchases(0.01, seed=1).write_csv(tmp_path / "log.csv")
    plugin = odd(tmp_path, "raising", body=SAVES["raising"])
    more = {"datasets": [f"events={tmp_path / 'log.csv'}"], "options": {"horizon": "14d", "cutoffs": 1}, "plugins": [plugin]}
    run_kit.run("churn", tmp_path / "run", models=["raising", "base-rate"], **more)
    assert {row["status"] for row in Board.read(tmp_path / "run").rows} == {"ok"}
    reason = r"model 'raising' could not be saved \(OSError: \[Errno 28\] No space left on device\); choose another with --model NAME"
    with pytest.raises(RunFolderError, match=reason):
        predict(tmp_path / "run", tmp_path / "log.csv", model="raising")
    assert invoke(["predict", str(tmp_path / "run"), "--data", str(tmp_path / "log.csv"), "--model", "base-rate"]) == 0
    assert capsys.readouterr().out.startswith("user,cutoff,horizon_days,p_churn,model\n")
