"""What somebody changes in a published board is found and named: by its digests, or where those are mended too, by the data."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from publish.kit import Files, edited, forged, npz, only, prediction_file, run_of

from bench.board.schema import rows_to_table
from bench.publish.package import dumped, parquet
from bench.publish.verify import verify
from bench.registry import discover

Change = Callable[[Files], None]


def failures(place: Path, **more: int) -> list[str]:
    return verify(str(place), discover(), **more).failures


def score(files: Files) -> None:
    edited(files, only("recency", roc_auc=0.99))


def a_hair(files: Files) -> None:
    edited(files, lambda row: {**row, "brier": row["brier"] + 1e-7} if row["model"] == "recency" else row)


def hidden(files: Files) -> None:
    edited(files, only("recency", brier=None, brier_low=None, brier_high=None))


def hidden_rank(files: Files) -> None:
    edited(files, lambda row: {**row, "roc_auc": None, "roc_auc_low": None, "roc_auc_high": None})


def interval(files: Files) -> None:
    edited(files, only("recency", roc_auc_low=0.1))


def skill(files: Files) -> None:
    edited(files, only("recency", skill_low=0.3))


def rank_(files: Files) -> None:
    edited(files, only("base-rate", rank=1))


def base_rate(files: Files) -> None:
    edited(files, only("recency", base_rate=0.9))


def reference(files: Files) -> None:
    edited(files, only("recency", reference="base-rate"))


def objective(files: Files) -> None:
    edited(files, only("recency", objective="log_loss"))


def flags(files: Files) -> None:
    edited(files, only("recency", flags=[]))


def simulated(files: Files) -> None:
    edited(files, lambda row: {**row, "simulated": False})


def without(files: Files, model: str) -> None:
    rows = pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()
    files["rows.parquet"] = parquet(rows_to_table([row for row in rows if row["model"] != model]))


def removed(files: Files) -> None:
    without(files, "recency")


def removed_with_its_prediction(files: Files) -> None:
    name = prediction_file(files, "recency")
    without(files, "recency")
    index = pq.read_table(io.BytesIO(files["predictions.parquet"]))
    files["predictions.parquet"] = parquet(pa.Table.from_pylist([r for r in index.to_pylist() if r["file"] != name], index.schema))
    del files[name]


def leader_removed(files: Files) -> None:
    rows = pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()
    (leader,) = {row["model"] for row in rows if row["behind"] == row["behind_low"] == row["behind_high"] == 0}
    without(files, leader)
    about = json.loads(files["run.json"])
    about["models"] = [m for m in about["models"] if m["name"] != leader]
    files["run.json"] = json.dumps(about).encode()


def unlisted(files: Files) -> None:
    name = prediction_file(files, "recency")
    index = pq.read_table(io.BytesIO(files["predictions.parquet"]))
    files["predictions.parquet"] = parquet(pa.Table.from_pylist([r for r in index.to_pylist() if r["file"] != name], index.schema))


def two_fingerprints(files: Files) -> None:
    edited(files, lambda row: {**row, "task_id": f"{row['task_id']}/x", "fingerprint": "0" * 64} if row["model"] == "recency" else row)


def unknown_data(files: Files) -> None:
    about = json.loads(files["run.json"])
    about["datasets"] = [{**d, "name": "other"} for d in about["datasets"]]
    files["run.json"] = json.dumps(about).encode()


def doubled(files: Files) -> None:
    rows = pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()
    files["rows.parquet"] = parquet(rows_to_table([*rows, next(row for row in rows if row["model"] == "recency")]))


def prediction(files: Files) -> None:
    name = prediction_file(files, "recency")
    with np.load(io.BytesIO(files[name])) as stored:
        values = stored["0.prediction"]
    files[name] = npz(**{"0.prediction": 1 - values})


def swapped(files: Files) -> None:
    one, other = (prediction_file(files, model) for model in ("recency", "base-rate"))
    files[one], files[other] = files[other], files[one]


def fingerprint(files: Files) -> None:
    edited(files, lambda row: {**row, "fingerprint": "0" * 64})
    members(files)


def members(files: Files) -> None:
    table = pl.read_parquet(io.BytesIO(files["members.parquet"]))
    files["members.parquet"] = parquet(table.reverse().to_arrow().cast(pa.schema([(c, pa.string()) for c in table.columns])))


def metric_version(files: Files) -> None:
    rows = pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()
    files["rows.parquet"] = parquet(rows_to_table([{**row, "aggregator": "other/9"} for row in rows]))


def protocol(files: Files) -> None:
    edited(files, only("recency", protocol="churn/v9"))


def task_id(files: Files) -> None:
    def other(row: dict[str, str]) -> dict[str, str]:
        return {**row, "task_id": row["task_id"].replace("elig=h", "elig=ever")}

    edited(files, other)
    for name in ("predictions.parquet", "members.parquet"):
        table = pq.read_table(io.BytesIO(files[name]))
        files[name] = parquet(pa.Table.from_pylist([other(record) for record in table.to_pylist()], table.schema))


def seed(files: Files) -> None:
    about = json.loads(files["run.json"])
    about["config"]["seed"] = 5
    files["run.json"] = json.dumps(about).encode()


CONSISTENT = [
    (score, r"recency on retail-sim \(default, seed 0\) of run [0-9a-f]{32}: roc_auc.*: the row says 0\.99, its prediction gives"),
    (a_hair, r"recency on retail-sim .*: brier: the row says .*, its prediction gives"),
    (hidden, r"recency on retail-sim .*: brier.*: the row says nothing, its prediction gives"),
    (hidden_rank, r"recency on retail-sim .*: roc_auc.*: the row says nothing, its prediction gives"),
    (interval, r"recency on retail-sim .*: roc_auc_low: the row says 0\.1, "),
    (skill, r"recency on retail-sim .*: skill_low: the row says 0\.3, "),
    (rank_, r"base-rate on retail-sim .*: rank: the row says 1, "),
    (base_rate, r"recency on retail-sim .*: base_rate: the row says 0\.9, the data gives"),
    (reference, r"recency on retail-sim .*: reference: the row says 'base-rate', the data gives 'rfm-logit'"),
    (objective, r"recency on retail-sim .*: objective: the row says 'log_loss', the data gives 'roc_auc'"),
    (flags, r"recency on retail-sim .*: flags: the row lacks 'underpowered', which the data gives"),
    (simulated, r"simulated: the rows say False, the data \(simulated anew\) says True"),
    (removed, r"run [0-9a-f]{32}: its manifest counts \d+ rows, there are \d+"),
    (removed, r"recency on retail-sim \(default, seed 0\): a prediction without a row: one was removed"),
    (removed_with_its_prediction, r"recency on retail-sim: no row, though the run had the model: it was removed"),
    (leader_removed, r" on retail-sim .*: behind.*: the row says .*, its prediction gives"),
    (unlisted, r"recency on retail-sim .*: its prediction is not among those published"),
    (two_fingerprints, r"the rows of one data set have several fingerprints"),
    (unknown_data, r"run\.json knows no data set 'retail-sim' of task churn"),
    (doubled, r"recency on retail-sim \(default, seed 0\): 2 rows of one name"),
    (prediction, r"recency on retail-sim .*: roc_auc.*: the row says .*, its prediction gives"),
    (swapped, r"recency on retail-sim .*: roc_auc.*: the row says .*, its prediction gives 0\.5"),
    (fingerprint, r"fingerprint: the rows say 0{64}, the data \(simulated anew\) has [0-9a-f]{64}"),
    (members, r"members: the \d+ published ids are not those of the \d+ members that the data gives"),
    (metric_version, r"metric version: aggregator is other/9, this bench scores by paired-cluster"),
    (protocol, r"recency on retail-sim .*: protocol 'churn/v9' is not that of its task id"),
    (task_id, r"task id: the rows say churn/v2/h=\d+d/elig=ever"),
    (seed, r"fingerprint: the rows say [0-9a-f]{64}, the data \(simulated anew\) has"),
]


@pytest.mark.parametrize(("change", "said"), CONSISTENT, ids=[change.__name__ for change, _ in CONSISTENT])
def test_a_change_that_mends_every_digest_is_found_by_scoring_again(place: Path, change: Change, said: str) -> None:
    forged(place, change)
    found = failures(place)
    import re

    assert any(re.search(said, words) for words in found), found


def test_a_metric_that_came_to_the_task_after_a_run_is_not_asked_of_its_rows(place: Path) -> None:
    forged(place, lambda files: edited(files, lambda row: {**row, **dict.fromkeys(("brier", "brier_low", "brier_high"))}))
    found = verify(str(place), discover())
    assert found.failures == []
    assert any(line.level == "re-scored" for line in found.lines)


def test_a_board_that_another_parquet_library_wrote_is_compared_by_its_rows(place: Path) -> None:
    table = pq.read_table(place / "board.parquet")
    pq.write_table(table, place / "board.parquet", compression="gzip")
    assert failures(place) == []
    at = table.column_names.index("roc_auc")
    forgery = table.set_column(at, table.field(at), pa.array([0.9] * len(table)))
    pq.write_table(forgery, place / "board.parquet")
    assert [words.partition(":")[0] for words in failures(place)] == ["board.parquet"]


@pytest.mark.parametrize("name", ["rows.parquet", "run.json", "predictions.parquet", "members.parquet", "predictions", "manifest.json"])
def test_a_changed_file_of_a_run_is_named(place: Path, name: str) -> None:
    folder = place / "runs" / run_of(place)
    file = folder / name if (folder / name).is_file() else min((folder / name).iterdir())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    found = failures(place)
    assert any(words.startswith(f"{file.relative_to(place)}: has changed since it was published") for words in found), found


@pytest.mark.parametrize("name", ["rows.parquet", "predictions.parquet", "predictions", "manifest.json"])
def test_a_file_that_is_gone_is_named(place: Path, name: str) -> None:
    folder = place / "runs" / run_of(place)
    file = folder / name if (folder / name).is_file() else min((folder / name).iterdir())
    file.unlink()
    assert any(str(file.relative_to(place)) in words for words in failures(place))


def test_a_file_that_was_put_into_a_run_is_named(place: Path) -> None:
    (place / "runs" / run_of(place) / "extra.bin").write_bytes(b"x")
    assert failures(place) == [f"runs/{run_of(place)}/extra.bin: not in the run's manifest"]


def test_a_commit_of_another_run_and_a_retraction_of_none_are_named(place: Path) -> None:
    commit = place / "commits" / f"{run_of(place)}.json"
    before = commit.read_bytes()
    commit.write_text('{"run": "0"}')
    assert any(words == f"commits/{commit.name}: names another run" for words in failures(place))
    commit.write_bytes(before)
    (place / "retractions").mkdir()
    stray = place / "retractions" / f"{'0' * 32}.json"
    stray.write_text('{"reason": "x", "time": "2026-01-01"}')
    assert any(words.startswith(f"retractions/{stray.name}: no such run was published") for words in failures(place))
    stray.write_text('{"reason": 1}')
    assert any("lacks its reason or its time" in words for words in failures(place))


def test_versions_that_differ_between_rows_and_manifest_are_named(place: Path) -> None:
    forged(place, metric_version, whole=False)
    assert any("aggregator is ['other/9'] in its rows and ['paired-cluster" in words for words in failures(place))


def test_a_changed_board_or_page_is_named(place: Path) -> None:
    for name in ("board.parquet", "index.html", "site/churn/index.html", "assets/bench.js", "board.json"):
        before = (place / name).read_bytes()
        (place / name).write_bytes(before + b" ")
        found = failures(place)
        assert any(words.startswith((f"{name}:", "the board cannot be derived anew")) for words in found), (name, found)
        (place / name).write_bytes(before)
    (place / "site" / "churn" / "evil.html").write_text("hello")
    assert any("site/churn/evil.html: not made by bench" in words for words in failures(place))


def test_a_changed_parameter_is_found_where_the_cell_is_fitted_again(place: Path) -> None:
    forged(place, lambda files: edited(files, only("rfm-logit", "default", params=json.dumps({"C": 1e-6}))))
    found = failures(place, rerun=20)
    assert all("rfm-logit on retail-sim (default, seed 0)" in words for words in found)
    # the published search disagrees, and so does the fit that is made again
    assert "params: the row says" in found[0]
    assert "not what these parameters give" in found[1]
    assert len(found) == 2


def better(files: Files) -> None:
    """Give `base-rate` the predictions and the scores of `recency`."""
    rows = {(r["model"], r["tuning"]): r for r in pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()}
    one, other = prediction_file(files, "base-rate"), prediction_file(files, "recency")
    files[one] = files[other]
    kept = ("model", "plugin", "source_hash", "params", "reason", "tuning", "trials", "valid_score", "fit_seconds", "predict_seconds")
    twin = {**rows["recency", "default"], **{k: v for k, v in rows["base-rate", "default"].items() if k in kept}}
    edited(files, lambda row: twin if row["model"] == "base-rate" else row)


def test_a_prediction_and_its_scores_made_up_together_are_found_where_the_cell_is_fitted_again(place: Path) -> None:
    forged(place, better)
    assert failures(place) == []
    found = failures(place, rerun=20)
    assert len(found) == 1
    assert "base-rate on retail-sim" in found[0]


@pytest.mark.parametrize(("made_up", "level"), [(False, "re-run"), (True, "re-scored")])
def test_where_the_plugin_is_another_a_repeat_must_score_inside_the_published_interval(place: Path, made_up: bool, level: str) -> None:
    def change(files: Files) -> None:
        if made_up:
            better(files)
        edited(files, lambda row: {**row, "source_hash": "0", "params": '{"C": 1e-6}' if row["model"] == "rfm-logit" else row["params"]})

    forged(place, change)
    found = verify(str(place), discover(), rerun=20)
    model = "base-rate" if made_up else "rfm-logit"
    (line,) = [one for one in found.lines if (one.row["model"], one.row["tuning"]) == (model, "default")]
    assert "(the plugin's source differs): roc_auc 0." in line.words
    assert (line.level, line.wrong) == (level, made_up)


def test_a_manifest_of_another_format_or_with_names_outside_is_refused(place: Path) -> None:
    for change, said in (
        ({"format": 99}, "has format 99, this bench reads 1"),
        ({"format": 1, "files": {"../x": {}}}, "the entry of file '../x' is refused"),
    ):
        old = run_of(place)
        content = dumped({**json.loads((place / "runs" / old / "manifest.json").read_bytes()), **change})
        new = hashlib.sha256(content).hexdigest()[:32]
        (place / "runs" / old).rename(place / "runs" / new)
        (place / "runs" / new / "manifest.json").write_bytes(content)
        (place / "commits" / f"{old}.json").unlink()
        (place / "commits" / f"{new}.json").write_bytes(dumped({"run": new}))
        assert any(said in words for words in failures(place)), said


BOMB = 1 << 40


def shaped(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    """Write an npy file that claims a shape and holds nothing."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


HOSTILE = {
    "no zip": (b"PK\x03\x04 nothing", "not readable as a prediction"),
    "pickle": (npz(**{"0.prediction": np.array([{"a": 1}], dtype=object)}), "holds object, expected numbers"),
    "text": (npz(**{"0.prediction": np.array(["a"])}), "expected numbers"),
    "huge shape": (zipped("0.prediction.npy", shaped((BOMB,))), "which is not what it holds"),
    "negative shape": (zipped("0.prediction.npy", shaped((-1,))), "0.prediction.npy"),
    "odd name": (zipped("../../etc/passwd", shaped((0,))), "expected arrays named PART.FIELD"),
    "no part 0": (zipped("7.prediction.npy", shaped((0,))), "its parts are [7]"),
    "other length": (npz(**{"0.prediction": np.zeros(3)}), "does not fit the data"),
    "other name": (npz(**{"0.other": np.zeros(3)}), "does not fit the data"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_prediction_gives_one_clear_line(place: Path, kind: str) -> None:
    content, said = HOSTILE[kind]

    def change(files: Files) -> None:
        files[prediction_file(files, "recency")] = content

    forged(place, change)
    found = failures(place)
    assert len(found) == 1
    assert found[0].startswith("recency on retail-sim")
    assert said in found[0]
    assert "\n" not in found[0]


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../secret.npz", "predictions/../run.npz", "predictions/a/b.npz", "C:\\x.npz"])
def test_a_path_that_leaves_the_runs_folder_is_refused(place: Path, path: str) -> None:
    def change(files: Files) -> None:
        table = pq.read_table(io.BytesIO(files["predictions.parquet"]))
        files["predictions.parquet"] = parquet(pa.Table.from_pylist([{**r, "file": path} for r in table.to_pylist()], table.schema))

    forged(place, change)
    found = failures(place)
    assert any("is refused: it is no prediction of the run's own folder" in words for words in found), found


def test_a_link_out_of_the_place_is_not_followed(place: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text('{"secret": 1}')
    file = place / "runs" / run_of(place) / "run.json"
    file.unlink()
    file.symlink_to(tmp_path / "outside.json")
    found = failures(place)
    assert any("a link that leads out of the place is not followed" in words for words in found), found
    assert not any("secret" in words for words in found)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"PAR1" + b"\xff" * 200 + b"PAR1",
        parquet(pa.table({"a": [1]})),
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("name", ["rows.parquet", "predictions.parquet", "members.parquet", "run.json"])
def test_a_hostile_file_gives_clear_lines_and_no_traceback(place: Path, name: str, content: bytes) -> None:
    forged(place, lambda files: files.update({name: content}), whole=False)
    found = failures(place)
    assert any(name in words or "members" in words for words in found), found
    assert all("\n" not in words and len(words) < 1_000 for words in found)


def test_a_hostile_row_gives_one_clear_line(place: Path) -> None:
    for changes, said in (
        ({"params": "[1]"}, "params is no JSON object"),
        ({"roc_auc": float("inf")}, "roc_auc is inf"),
        ({"reason": "x" * 200_000}, "has 200,000 characters"),
        ({"task": "rm -rf"}, "task 'rm -rf' is unknown"),
    ):
        forged(place, lambda files, changes=changes: edited(files, only("recency", **changes)), whole=False)
        assert any(said in words for words in failures(place)), said


def test_a_stranger_in_the_commits_is_named(place: Path) -> None:
    (place / "commits" / "readme.txt").write_text("hello")
    with pytest.raises(Exception, match=r"commits/readme.txt: no file of bench; remove it"):
        failures(place)
