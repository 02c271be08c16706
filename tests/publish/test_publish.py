import json
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest
from publish.kit import board_of, edited, forged, only, rows_of, run_of, tree, variant

import bench
from bench.cli import invoke
from bench.publish.package import package
from bench.publish.publish import publish, rebuild, retract


def test_a_published_run_is_on_the_board_with_all_its_rows_and_a_site(made: Path, place: Path) -> None:
    def keys(rows: list[dict[str, object]]) -> set[tuple[object, ...]]:
        return {(r["task_id"], r["dataset"], r["model"], r["tuning"], r["seed"], r["roc_auc"], r["skill"], r["behind_low"]) for r in rows}

    assert keys(board_of(place)) == keys(rows_of(made))
    assert "site/churn/index.html" in (place / "index.html").read_text()
    assert "rfm-logit" in (place / "site" / "churn" / "index.html").read_text()


def test_pages_of_all_tasks_share_one_set_of_scripts_and_lead_back_to_the_first_page(made: Path, place: Path) -> None:
    pages = sorted((place / "site").rglob("*.html"))
    assert len(pages) > 3
    assert not list((place / "site").rglob("assets"))
    for page in [place / "index.html", *pages]:
        reason_of = Links(page.read_text())
        wanted = [link for link in reason_of.found if not link.startswith(("#", "data:", "http"))]
        assert any(link.endswith("assets/bench.js") for link in wanted)
        assert [link for link in wanted if not (page.parent / link.partition("#")[0]).is_file()] == []
        assert (page.name == "index.html" and page.parent == place) or "../../index.html" in wanted
    first = (place / "index.html").read_text()
    row = rows_of(made)[0]
    for words in (run_of(place), "retail-sim", f"{row['created']:%Y-%m-%d}", row["bench_version"]):
        assert words in first


class Links(HTMLParser):
    """Every address on a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in {"href", "src"} and value]


def test_publishing_the_same_run_again_changes_no_byte(made: Path, place: Path) -> None:
    before = tree(place)
    assert not publish(made, str(place)).new
    assert tree(place) == before


def test_board_and_site_can_be_rebuilt_byte_for_byte_from_the_runs(made: Path, place: Path, tmp_path: Path) -> None:
    publish(variant(made, tmp_path / "b", lambda row: {**row, "dataset": "other"}), str(place))
    before = tree(place)
    for name in before:
        if not name.startswith(("runs/", "commits/")):
            (place / name).unlink()
    (place / "site" / "churn" / "stray.html").write_text("left over")
    rebuild(str(place))
    assert tree(place) == before


def test_the_order_in_which_runs_were_published_does_not_show(made: Path, tmp_path: Path) -> None:
    runs = [made, variant(made, tmp_path / "b", only("recency", roc_auc=0.9, behind_low=None))]
    for name, ordered in (("one", runs), ("two", runs[::-1])):
        for run in ordered:
            publish(run, str(tmp_path / name))
    # all but the commits, each of which names those before it
    one, two = ({name: content for name, content in tree(tmp_path / p).items() if not name.startswith("commits/")} for p in ("one", "two"))
    assert one == two


def test_published_predictions_are_smaller_and_every_number_is_the_runs_own(made: Path, place: Path, tmp_path: Path) -> None:
    from bench.execute.prediction_files import read_prediction, write_prediction
    from bench.publish.package import packed
    from bench.publish.untrusted import prediction

    files = sorted((place / "runs" / run_of(place) / "predictions").iterdir())
    assert files
    for file in files:
        one, other = prediction(file.read_bytes(), file.name, 1 << 26), read_prediction(made / "predictions" / file.name)
        assert [{name: (a.dtype, a.tobytes()) for name, a in part.items()} for part in one] == [
            {name: (a.dtype, a.tobytes()) for name, a in part.items()} for part in other
        ]
    steps = np.where(np.arange(1000) < 600, 0, np.random.default_rng(0).random((7, 1000)))
    forms = [{"prediction": steps, "b": np.arange(4, dtype=np.int32)}, {"prediction": steps.T.astype(np.float32)}]
    write_prediction(tmp_path / "a.npz", forms)
    smaller = packed(tmp_path / "a.npz", list)
    assert len(smaller) < 0.5 * (tmp_path / "a.npz").stat().st_size
    assert smaller == packed(tmp_path / "a.npz", list)
    for one, other in zip(prediction(smaller, "a", 1 << 26), forms, strict=True):
        assert {name: (a.dtype, a.tolist()) for name, a in one.items()} == {name: (a.dtype, a.tolist()) for name, a in other.items()}


def test_a_dry_run_says_what_would_be_sent_and_writes_nothing(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["publish", str(made), "--to", str(tmp_path / "place"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "rows.parquet" in said
    assert "would be published" in said
    assert not (tmp_path / "place").exists()


def test_no_user_id_and_no_local_path_is_published(run_folder: Path, tmp_path: Path) -> None:
    rows = rows_of(run_folder)
    hidden = "/home/zebulon/secret data"
    variant(
        run_folder, tmp_path / "b", only("recency", reason="cannot read /home/zebulon/project/log.csv: gone", plugin="/home/zebulon/my.py")
    )
    about = json.loads((tmp_path / "b" / "run.json").read_text())
    about["config"] |= {"source": hidden, "out": hidden, "plugins": [hidden], "datasets": [f"retail={hidden}"]}
    about["config"]["options"] = {"events.user": "/home/zebulon/x/customer"}
    (tmp_path / "b" / "run.json").write_text(json.dumps(about))
    publish(tmp_path / "b", str(tmp_path / "place"))
    users = pl.read_parquet(run_folder / "members.parquet")["user"].to_list()
    members = pl.read_parquet(next((tmp_path / "place").glob("runs/*/members.parquet")))
    assert members.columns == ["task_id", "dataset", "member"]
    assert members["member"].n_unique() == len(members) == rows[0]["n_test"]
    assert not set(users) & set(members["member"])
    assert [name for name, content in tree(tmp_path / "place").items() if b"zebulon" in content] == []
    assert [r["reason"] for r in board_of(tmp_path / "place") if r["model"] == "recency"] == ["cannot read log.csv: gone"]


def test_ids_cannot_be_found_by_trying_the_ids_of_single_users(made: Path) -> None:
    from bench.publish.package import opaque

    users = pl.read_parquet(made / "members.parquet").drop("task_id", "dataset").to_dicts()
    whole = opaque(users, "print")
    assert whole == opaque(users, "print")
    assert not set(whole) & {opaque([user], "print")[0] for user in users}
    assert not set(whole) & set(opaque(users[:-1], "print"))


def test_an_unfinished_run_is_refused(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = json.loads((run_folder / "run.json").read_text())
    (run_folder / "run.json").write_text(json.dumps({**about, "finished": False}))
    assert invoke(["publish", str(run_folder), "--to", str(tmp_path / "place")]) == 2
    assert "the run is not finished" in capsys.readouterr().err
    assert not (tmp_path / "place").exists()


def test_a_run_whose_prediction_has_changed_since_it_was_scored_is_refused(run_folder: Path, tmp_path: Path) -> None:
    file = next((run_folder / "predictions").glob("*.npz"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(bench.BenchError, match="is gone or not what was scored"):
        publish(run_folder, str(tmp_path / "place"))


def test_of_two_runs_of_one_cell_the_newest_stands_and_the_other_is_counted(made: Path, place: Path, tmp_path: Path) -> None:
    newer = variant(made, tmp_path / "b", only("recency", fit_seconds=123.0))
    done = publish(newer, str(place))
    assert done.superseded == len(rows_of(made))
    board = board_of(place)
    assert len(board) == len(rows_of(made))
    assert [row["fit_seconds"] for row in board if row["model"] == "recency"] == [123.0]


def test_a_skipped_row_does_not_take_another_runs_result_away(made: Path, place: Path, tmp_path: Path) -> None:
    blank = {name: None for name, value in rows_of(made)[0].items() if isinstance(value, float) and name != "fit_seconds"}
    lacking = only("recency", **blank, status="skipped", reason="needs a library", seed=None, flags=[], rank=None)
    publish(variant(made, tmp_path / "b", lacking), str(place))
    assert [row["status"] for row in board_of(place) if row["model"] == "recency"] == ["ok"]


class Elements(HTMLParser):
    """What a browser makes of a page: elements, attributes, text, scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = self.script = self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.script += data
        self.text += data


def ranked(row: dict[str, object]) -> dict[str, object]:
    return {**row, "flags": []}


def test_a_leader_from_another_run_gives_the_widest_interval_that_the_single_ones_allow(made: Path, tmp_path: Path) -> None:
    rows = rows_of(made)
    best = max(row["roc_auc"] for row in rows)
    old = variant(made, tmp_path / "old", ranked)

    def star(row: dict[str, object]) -> dict[str, object]:
        lead = {"roc_auc": best + 0.01, "roc_auc_low": best - 0.02, "roc_auc_high": best + 0.04, "behind": 0.0}
        named = {**row, "flags": [], "model": f"{row['model']}-b" if row["model"] != "ensemble" else "ensemble-b"}
        return {**named, **lead, "behind_low": 0.0, "behind_high": 0.0} if row["model"] == "recency" else named

    new = variant(made, tmp_path / "new", star)
    index = pl.read_parquet(new / "predictions.parquet").with_columns(model=pl.col("model") + "-b")
    index.write_parquet(new / "predictions.parquet")
    publish(old, str(tmp_path / "place"))
    publish(new, str(tmp_path / "place"))
    board = {(row["model"], row["tuning"]): row for row in board_of(tmp_path / "place")}
    leader = board["recency-b", "default"]
    assert leader["rank"] == 1
    assert leader["behind_low"] == 0
    for (model, _), row in board.items():
        if not model.endswith("-b"):
            assert row["behind"] == pytest.approx(leader["roc_auc"] - row["roc_auc"])
            assert row["behind_low"] == pytest.approx(leader["roc_auc_low"] - row["roc_auc_high"])
            assert row["behind_high"] == pytest.approx(leader["roc_auc_high"] - row["roc_auc_low"])
            assert row["skill_low"] is not None
    assert "of another run than the leader" in (tmp_path / "place" / "index.html").read_text()
    # its interval touches the leader's: nobody may say that it is worse
    close = board["rfm-logit", "tuned"]
    assert close["roc_auc_high"] > leader["roc_auc_low"]
    assert close["tied"]
    # and .5 is far away
    far = board["base-rate", "default"]
    assert far["roc_auc_high"] < leader["roc_auc_low"]
    assert not far["tied"]


def test_a_run_whose_data_contradicts_what_is_published_is_refused_with_both_named(made: Path, place: Path, tmp_path: Path) -> None:
    other = variant(made, tmp_path / "b", lambda row: {**row, "fingerprint": "f" * 64})
    with pytest.raises(
        bench.BenchError, match=rf"fingerprint of retail-sim .* in run {run_of(place)} and {'f' * 64} in run [0-9a-f]{{32}}"
    ):
        publish(other, str(place))
    assert len(list((place / "commits").iterdir())) == 1


def test_a_retracted_run_leaves_the_board_and_its_reason_and_files_stay(
    made: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, before = run_of(place), tree(place)
    reason = 'leak <script>alert(1)</script> "found"'
    assert invoke(["publish", str(made), "--to", str(place), "--retract", "--reason", reason]) == 0
    assert board_of(place) == []
    after = tree(place)
    assert all(after[name] == content for name, content in before.items() if name.startswith(("runs/", "commits/")))
    page = (place / "index.html").read_text()
    assert "leak &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert not list((place / "site").rglob("*.html"))
    capsys.readouterr()
    assert invoke(["publish", run, "--to", str(place), "--retract", "--reason", "again"]) == 2
    assert "retracted already" in capsys.readouterr().err
    assert invoke(["publish", str(made), "--to", str(place)]) == 2
    assert "a retraction stands" in capsys.readouterr().err


def test_retracting_needs_a_reason_and_a_published_run(made: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["publish", str(made), "--to", str(place), "--retract"]) == 2
    assert "--reason TEXT" in capsys.readouterr().err
    with pytest.raises(bench.BenchError, match="is not published at"):
        retract("0" * 32, str(place), "why")
    with pytest.raises(bench.BenchError, match="of 1 to 500 characters"):
        retract(run_of(place), str(place), "x" * 501)
    with pytest.raises(bench.BenchError, match="nothing is published"):
        retract("0" * 32, str(tmp_path / "empty"), "why")


def test_after_the_only_run_is_retracted_another_may_be_published(made: Path, place: Path, tmp_path: Path) -> None:
    retract(run_of(place), str(place), "wrong data")
    done = publish(variant(made, tmp_path / "b", lambda row: {**row, "fingerprint": "f" * 64}), str(place))
    assert done.board == len(rows_of(made))


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("s3://key:very-secret@bucket/board", "holds credentials; leave them out"),
        ("ftp://name:very-secret@host/board", "holds credentials; leave them out"),
        ("nosuch://bucket", "Protocol not known: nosuch"),
        (" ", "the place is empty"),
    ],
)
def test_a_place_that_cannot_be_opened_ends_in_one_line_without_secrets(
    made: Path, to: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["publish", str(made), "--to", to]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "very-secret" not in error
    assert error.count("\n") == 1


def test_what_an_error_says_is_shown_without_the_values_of_secret_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.publish.store import reason_of

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("SOME_TOKEN", "tok-12345")
    assert reason_of(ValueError("signed with wJalrXUtnFEMI\nand tok-12345")) == "signed with *** and ***"


def test_publishing_to_an_object_store_of_fsspec_works_as_to_a_folder(made: Path, place: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    publish(made, "memory://shelf/board")
    try:
        found = {path.removeprefix("/shelf/board/"): memory.cat_file(path) for path in memory.find("/shelf/board")}
        assert set(found) == set(tree(place))
        assert found["board.parquet"] == (place / "board.parquet").read_bytes()
    finally:
        memory.rm("/shelf", recursive=True)


def test_figures_of_single_series_are_published_only_where_they_are_asked_for(run_folder: Path) -> None:
    at = {"task_id": rows_of(run_folder)[0]["task_id"], "dataset": "retail-sim"}
    series = {"0": {"name": "customer-4711", "values": [12345.5]}}
    figure = {**at, "kind": "forecast", "metric": "MASE", "leader": "recency", "series": series, "models": {"recency": [{"series": "0"}]}}
    (run_folder / "figures.json").write_text(json.dumps([figure, {**at, "kind": "unheard-of", "models": {}}]))
    kept = {}
    for with_figures in (False, True):
        made = package(run_folder, with_figures=with_figures)
        kept[with_figures] = made.read("figures.json").decode()
    assert "customer-4711" in kept[True]
    assert not any(word in kept[False] for word in ("customer-4711", "12345", "unheard-of"))
    assert json.loads(kept[False])[0]["models"] == {"recency": []}
    assert package(run_folder).run != package(run_folder, with_figures=True).run


def test_names_reasons_and_parameters_with_markup_show_as_text_in_the_site(place: Path) -> None:
    attack = '<img src=x onerror="window.hacked=1">'
    script = "</script><script>window.hacked=2</script>"

    def hostile(row: dict[str, object]) -> dict[str, object]:
        if row["model"] == "rfm-logit":
            return {**row, "params": json.dumps({script: attack}), "reason": script, "plugin": attack}
        return {**row, "plugin": script, "reason": attack} if row["model"] == "recency" else row

    forged(place, lambda files: edited(files, hostile))
    pages = [place / "index.html", *(place / "site").rglob("*.html")]
    read = [Elements(page.read_text()) for page in pages]
    assert attack in "".join(one.text for one in read)
    assert {name for one in read for name in one.names} & {"img", "iframe", "object"} == set()
    assert not [name for one in read for name in one.attributes if name.startswith("on")]
    assert not any("hacked" in one.script for one in read)
    assert not any("</script" in data.read_text() for data in (place / "site").rglob("data-*.js"))


@pytest.mark.parametrize(("place", "extra"), [("s3://bucket/folder", "s3"), ("hf://datasets/someone/board", "hf")])
def test_a_place_whose_library_is_missing_names_the_extra(place: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    from bench.errors import ConfigError
    from bench.publish.store import Remote

    monkeypatch.setattr(fsspec, "filesystem", Mock(side_effect=ImportError("Install it")))
    with pytest.raises(ConfigError, match=rf"pip install 'seqbench\[{extra}\]'"):
        Remote(place)
