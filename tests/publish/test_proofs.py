"""A board that proves itself: removals, copies, dates to come and strangers' signatures are found or named."""

import io
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from publish.kit import Files, edited, forged, only, prediction_file, run_of, variant
from publish.test_tampering import better, without

from bench.cli import invoke
from bench.errors import ConfigError
from bench.publish import draw
from bench.publish.package import parquet
from bench.publish.publish import publish
from bench.publish.verify import Checked, verify
from bench.registry import discover


def checked(place: Path, **more: object) -> Checked:
    return verify(str(place), discover(), **more)


def everywhere(files: Files, model: str, *, from_command: bool) -> None:
    """Remove a model from rows, predictions and `run.json`, as somebody would who means it."""
    name = prediction_file(files, model)
    without(files, model)
    index = pq.read_table(io.BytesIO(files["predictions.parquet"]))
    files["predictions.parquet"] = parquet(pa.Table.from_pylist([r for r in index.to_pylist() if r["file"] != name], index.schema))
    del files[name]
    about = json.loads(files["run.json"])
    about["models"] = [m for m in about["models"] if m["name"] != model]
    if from_command:
        about["config"]["models"] = [name for name in about["config"]["models"] if name != model]
    files["run.json"] = json.dumps(about).encode()


def test_a_model_that_the_command_names_and_the_run_lacks_was_removed(place: Path) -> None:
    forged(place, lambda files: everywhere(files, "recency", from_command=False))
    assert any("recency: the run's command names the model, and the run lacks it" in words for words in checked(place).failures)


def test_a_run_of_all_models_without_the_reference_lacks_it(place: Path) -> None:
    def change(files: Files) -> None:
        without(files, "rfm-logit")
        about = json.loads(files["run.json"])
        about["models"] = [m for m in about["models"] if m["name"] != "rfm-logit"]
        about["config"]["models"] = []
        files["run.json"] = json.dumps(about).encode()

    forged(place, change)
    assert any("rfm-logit on retail-sim: the run was of all models" in words for words in checked(place).failures)


def test_a_row_of_a_model_that_the_run_did_not_have_is_named(place: Path) -> None:
    def change(files: Files) -> None:
        about = json.loads(files["run.json"])
        about["models"] = [m for m in about["models"] if m["name"] != "recency"]
        about["config"]["models"] = []
        files["run.json"] = json.dumps(about).encode()

    forged(place, change)
    assert any("recency on retail-sim: a row of a model that the run did not have" in words for words in checked(place).failures)


def test_a_row_that_was_made_in_the_future_is_refused(place: Path) -> None:
    forged(place, lambda files: edited(files, only("recency", created=datetime(2099, 1, 1, tzinfo=UTC))), whole=False)
    found = checked(place).failures
    assert any("created is 2099-01-01 00:00, which is still to come" in words for words in found), found


def test_a_row_of_a_name_that_is_none_is_refused(place: Path) -> None:
    forged(place, lambda files: edited(files, lambda row: {**row, "model": "../../etc/x"}), whole=False)
    assert any("model '../../etc/x' is no name" in words for words in checked(place).failures)


def test_a_copy_of_another_models_predictions_is_flagged(place: Path) -> None:
    assert not any("same predictions" in words for words in checked(place).notes)
    forged(place, better)
    notes = checked(place).notes
    assert any("base-rate and recency" in words or "recency and base-rate" in words for words in notes), notes
    assert any("one may be a copy of the other" in words for words in notes)


def test_a_commit_that_is_taken_away_is_missed_by_the_next(made: Path, place: Path, tmp_path: Path) -> None:
    first = run_of(place)
    kept = checked(place).heads
    publish(variant(made, tmp_path / "later", lambda row: row), str(place))
    found = checked(place, heads=kept)
    assert found.failures == []
    assert len(found.heads) == 1
    assert found.heads != kept
    (place / "commits" / f"{first}.json").unlink()
    shutil.rmtree(place / "runs" / first)
    assert any(f"names an earlier commit {kept[0]}, which is gone" in words for words in checked(place).failures)


def test_who_kept_a_head_sees_that_the_last_run_was_taken_away(made: Path, place: Path, tmp_path: Path) -> None:
    publish(variant(made, tmp_path / "later", lambda row: row), str(place))
    (head,) = checked(place).heads
    (last,) = [file for file in (place / "commits").iterdir() if json.loads(file.read_text())["after"]]
    last.unlink()
    assert not any(words.startswith("head ") for words in checked(place).failures)
    assert any(words.startswith(f"head '{head}' is gone") for words in checked(place, heads=[head]).failures)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", str(file)], check=True)
    return file


def signers(key: Path, name: str = "ada@example.org") -> Path:
    file = key.with_name("signers")
    file.write_text(f"{name} {key.with_suffix('.pub').read_text()}")
    return file


def test_a_signed_run_names_its_signer(made: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "place"
    assert invoke(["publish", str(made), "--to", str(place), "--sign", str(key)]) == 0
    capsys.readouterr()
    assert invoke(["verify", str(place), "--signers", str(signers(key))]) == 0
    out = capsys.readouterr().out
    assert "signed by ada@example.org (ED25519 SHA256:" in out
    assert "claimed by who published, at every level: created, search_seconds" in out
    assert any("signed by key ED25519 SHA256:" in words for words in checked(place).notes)


def test_a_run_that_nobody_or_a_stranger_signed_fails_where_signers_are_given(made: Path, place: Path, key: Path) -> None:
    assert any("nobody has signed it" in words for words in checked(place, signers=signers(key)).failures)
    publish(made, str(place), sign=key)
    assert checked(place, signers=signers(key)).failures == []
    commit = place / "commits" / f"{run_of(place)}.json"
    commit.write_bytes(commit.read_bytes() + b" ")
    assert any("no signature of this commit" in words for words in checked(place).failures)
    key.with_name("signers").write_text("")
    assert any("not among the signers" in words or "no signature" in words for words in checked(place, signers=signers(key, "x")).failures)


def test_a_key_that_cannot_sign_stops_before_anything_is_sent(made: Path, tmp_path: Path) -> None:
    (tmp_path / "no-key").write_text("hello")
    with pytest.raises(ConfigError, match="not signed"):
        publish(made, str(tmp_path / "place"), sign=tmp_path / "no-key")
    assert not (tmp_path / "place").exists()


def test_the_draw_depends_on_the_board_and_the_seed_and_on_nothing_else() -> None:
    names = [f"row {n}" for n in range(50)]
    first = draw.order(names, ["a", "b"], 0)
    assert first == draw.order(names, ["b", "a"], 0)
    assert sorted(first) == list(range(50))
    assert first != draw.order(names, ["a", "c"], 0)
    assert first != draw.order(names, ["a", "b"], 1)


def test_what_a_draw_misses_is_told_and_right() -> None:
    assert draw.miss_probability(1, 10, 2) == pytest.approx(0.8)
    assert draw.miss_probability(3, 10, 2) == pytest.approx(7 / 10 * 6 / 9)
    assert draw.miss_probability(9, 10, 2) == 0
    assert draw.words(10, 2) == (
        "2 of 10 rows that can be fitted again were drawn; of false ones among them would slip through: 1 with 80%, 3 with 47%, 10 with 0%"
    )


def test_a_partial_rerun_says_what_it_can_miss_and_names_models_that_are_not_here(place: Path) -> None:
    notes = checked(place, rerun=1).notes
    assert any("would slip through: 1 with" in words for words in notes), notes

    def change(files: Files) -> None:
        edited(files, lambda row: {**row, "model": "stranger"} if row["model"] == "recency" else row)
        index = pq.read_table(io.BytesIO(files["predictions.parquet"])).to_pylist()
        renamed = [{**r, "model": "stranger"} if r["model"] == "recency" else r for r in index]
        files["predictions.parquet"] = parquet(pa.Table.from_pylist(renamed, pq.read_schema(io.BytesIO(files["predictions.parquet"]))))

    forged(place, change)
    assert any("stranger: not installed here, so that nobody has checked" in words for words in checked(place, rerun=20).notes)
