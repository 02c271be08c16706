import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from report.kit import ATTACK, CYRILLIC, LONG, MODELS, RIGHT_TO_LEFT, TASK_ID, anomalies, forecasts, rows, write_run

from bench.board import Board
from bench.board.schema import write_rows
from bench.errors import RunFolderError
from bench.report import build
from bench.report.html import VOID
from bench.report.pages import write_plots
from bench.report.run_page import rows_csv
from bench.report.search_figures import history_chart, importance
from bench.report.words import command


class Reader(HTMLParser):
    """Collects what a page holds; refuses tags that do not close."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def read(path):
    reader = Reader()
    reader.feed(path.read_text())
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def pages(site):
    return {path.name: read(path) for path in sorted(site.glob("*.html"))}


def test_every_page_has_a_language_one_title_one_main_part_and_one_first_heading(pages):
    assert {"index.html", "grid.html", "run.html", "forecasts.html"} <= set(pages)
    for reader in pages.values():
        assert reader.all("html")[0]["lang"] == "en"
        assert len(reader.all("h1")) == len(reader.all("title")) == len(reader.all("main")) == 1


def test_titles_are_unique(site):
    titles = [re.search("<title>(.*?)</title>", path.read_text()).group(1) for path in site.glob("*.html")]
    assert len(set(titles)) == len(titles)


def test_every_link_and_script_leads_to_a_file_of_the_folder_and_none_to_the_network(site, pages):
    for reader in pages.values():
        for attrs in [*reader.all("a"), *reader.all("link"), *reader.all("script")]:
            to = attrs.get("href", attrs.get("src", ""))
            assert "//" not in to
            assert to.startswith(("#", "data:,")) or (site / to.split("#")[0]).exists(), to


def test_own_script_and_style_name_no_address(site):
    for name in ("bench.js", "bench.css"):
        assert "//" not in re.sub(r"/\*.*?\*/", "", (site / "assets" / name).read_text(), flags=re.DOTALL)


def test_hostile_names_are_text_everywhere(site, pages):
    for name, reader in pages.items():
        assert not reader.all("img"), name
        assert not [attrs for _, attrs in reader.tags if any(key.startswith("on") for key in attrs)], name
        assert all("src" in attrs for attrs in reader.all("script")), name
    assert ATTACK in pages["index.html"].text
    for path in site.glob("data-*.js"):
        text = path.read_text()
        assert "</" not in text
        assert text.startswith("window.BENCH={")
        assert text.isascii()


def test_names_are_whole(pages):
    for name in (LONG, RIGHT_TO_LEFT, CYRILLIC, *MODELS):
        assert name in pages["grid.html"].text


def test_each_chart_has_its_words_its_table_and_its_data(site, pages):
    charts = 0
    for name, reader in pages.items():
        ids = {attrs["id"] for _, attrs in reader.tags if attrs.get("id")}
        keys = [attrs["data-chart"] for attrs in reader.all("div") if "data-chart" in attrs]
        assert all(f["role"] == "group" and f["aria-labelledby"] in ids for f in reader.all("figure"))
        assert len(keys) == len(reader.all("figure")) == len(set(keys))
        assert reader.text.count("Data of this chart") == len(keys)
        if keys:
            data = json.loads((site / f"data-{Path(name).stem}.js").read_text()[len("window.BENCH=") : -2])
            assert set(keys) == set(data["charts"])
        charts += len(keys)
    assert charts > 50


def test_tables_have_captions_heads_and_row_headers(pages):
    for reader in pages.values():
        assert len(reader.all("caption")) == len(reader.all("table"))
        assert all(attrs["scope"] in {"col", "row"} for attrs in reader.all("th"))


def test_pages_are_small(site):
    for path in site.glob("*.html"):
        assert path.stat().st_size < 150_000
        assert len(read(path).tags) < 5_000
    for path in site.glob("data-*.js"):
        assert path.stat().st_size < 150_000


def test_the_board_says_ties_failures_with_reasons_and_what_is_simulated(site, pages):
    (name,) = (path.name for path in site.glob("board-retail-sim-*.html"))
    text = pages[name].text
    assert "lightgbm-lags leads; statistically tied with seasonal-naive" in text
    assert "failed: oom" in text
    assert "4.1 GB, limit 4.0" in text
    assert "simulated" in text
    assert "lower is better" in text
    assert "2 of 7 others are statistically tied" in text
    assert len([a for a in pages[name].all("svg") if a.get("class") == "strip"]) >= len(MODELS)


def test_without_a_script_the_board_is_a_whole_table(site, pages):
    (name,) = (path.name for path in site.glob("board-shop-log-*.html"))
    assert all(model in pages[name].text for model in (*MODELS, "gru"))


def test_a_cell_says_how_to_get_it_again_its_trials_and_its_log(pages):
    cells = {name: r for name, r in pages.items() if name.startswith("cell-")}
    assert len(cells) == 2 * (len(MODELS) + 1)
    (tuned,) = (r for name, r in cells.items() if name.startswith("cell-retail-sim-seasonal-naive"))
    assert "--dataset retail --dataset 'series=my file.csv' --model seasonal-naive --set horizon=14 --profile short" in tuned.text
    assert "7 trials ok, 1 failed; stopped by trials." in tuned.text
    (search,) = (r for name, r in pages.items() if name.startswith("search-retail-sim-seasonal-naive"))
    assert "Which parameters mattered" in search.text
    assert "Trials in parallel coordinates" in search.text
    (lost,) = (r for name, r in cells.items() if name.startswith("cell-retail-sim-gru"))
    assert "MemoryError <img" in lost.text
    assert "No search" in lost.text


def test_the_same_folder_gives_the_same_bytes_and_old_pages_go(tmp_path, site):
    folder = write_run(tmp_path / "run")
    (folder / "report").mkdir()
    (folder / "report" / "cell-gone.html").write_text("old")
    again = build(folder).parent
    assert {p.name for p in again.iterdir()} == {p.name for p in site.iterdir()}
    for path in again.iterdir():
        assert path.is_dir() or path.read_bytes() == (site / path.name).read_bytes(), path.name


def test_a_folder_with_nothing_but_a_leaderboard_has_a_report(tmp_path):
    write_rows(tmp_path / "leaderboard.parquet", Board.build(rows()).rows)
    index = build(tmp_path)
    assert "lightgbm-lags leads on 2" in index.read_text()
    assert not list(index.parent.glob("forecasts*"))


def test_a_folder_without_a_leaderboard_or_rows_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no such leaderboard"):
        build(tmp_path)
    write_rows(tmp_path / "leaderboard.parquet", [])
    with pytest.raises(RunFolderError, match="no row"):
        build(tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    folder = write_run(tmp_path)
    (folder / "figures.json").write_text("[{")
    with pytest.raises(RunFolderError, match=r"figures[.]json"):
        build(folder)


def test_plots_alone_open_without_a_board(tmp_path):
    figures = [{"task_id": TASK_ID, "dataset": "shop <log>", **forecasts()}, {"task_id": "anomaly/v1", "dataset": "nab", **anomalies()}]
    first = write_plots(tmp_path, figures, "plots")
    assert first == tmp_path / "report" / "forecasts.html"
    assert (tmp_path / "report" / "anomalies.html").exists()
    assert (tmp_path / "report" / "assets" / "plotly-basic.min.js").exists()
    for page in first.parent.glob("*.html"):
        for attrs in read(page).all("a"):
            assert attrs["href"].startswith("#") or (first.parent / attrs["href"].split("#")[0]).exists()
    with pytest.raises(ValueError, match="no figure"):
        write_plots(tmp_path, [])


def test_rows_as_csv_keep_every_row_and_disarm_formulas(site):
    assert pl.read_csv(site / "rows.csv").height == len(rows())
    assert rows_csv([{"model": "=1+1", "mase": -0.5, "flags": ["a", "b"]}]) == "model,flags,mase\n'=1+1,a b,-0.5\n"


def test_the_command_repeats_what_was_asked_and_quotes_it_for_a_shell():
    config = {
        "task": "churn",
        "datasets": ["events=my log.csv"],
        "models": ["a", "b"],
        "options": {"horizon": "28d"},
        "profile": "short",
        "trials": 3,
        "minutes": 1.5,
        "seed": 0,
        "device": "auto",
        "sampler": "tpe",
        "out": None,
        "plugins": ["x y.py"],
        "data": None,
    }
    whole = (
        "bench run --task churn --dataset 'events=my log.csv' --model a --model b --set horizon=28d --plugin 'x y.py' "
        "--profile short --trials 3 --minutes 1.5"
    )
    assert command(config) == whole
    assert "--model b" not in command(config, "a")


def trial(number, value, status="ok", **params):
    return {"number": number, "value": value, "status": status, "params": json.dumps(params), "fit_seconds": 1.0}


def test_the_history_steps_to_the_best_so_far_in_the_direction_that_is_better():
    trials = [trial(0, 0.5), trial(1, 0.7), trial(2, None, "oom"), trial(3, 0.6)]
    high, low = (history_chart(trials, "AUC", higher=higher) for higher in (True, False))
    assert high.traces[1]["y"] == [0.5, 0.7, 0.7]
    assert low.traces[1]["y"] == [0.5, 0.5, 0.5]
    assert high.traces[2]["x"] == [2]
    assert "3 trials ok, 1 failed; the best valid AUC is .700, from trial 1." in high.finding
    assert history_chart([], "AUC", higher=True) is None


def test_importance_finds_the_parameter_that_decides_and_needs_four_trials():
    trials = [trial(n, float(n % 10), lr=float(n % 10), noise=float(n * 7 % 5), same=1) for n in range(40)]
    found = importance(trials, higher=True)
    assert next(iter(found)) == "lr"
    assert set(found) == {"lr", "noise"}
    assert importance(trials[:3], higher=True) == {}


def test_building_imports_no_framework_and_no_plugin(tmp_path):
    write_rows(tmp_path / "leaderboard.parquet", Board.build(rows()).rows)
    # pandas is not among them: pyarrow imports it where a table has times
    heavy = "torch tensorflow keras sklearn lightgbm statsmodels bench_plugins bench_datasets"
    code = f"import sys, bench.report; bench.report.build({str(tmp_path)!r}); print([m for m in {heavy!r}.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert not done.stderr


def test_a_cell_is_put_beside_the_row_that_stands_for_the_reference(tmp_path):
    first = rows()[0]
    reference = {**rows()[1], "trials": 8}
    default = {**reference, "tuning": "default", "mase": 0.999}
    write_rows(tmp_path / "leaderboard.parquet", Board.build([first, default, reference]).rows)
    (page,) = build(tmp_path).parent.glob("cell-retail-sim-lightgbm-lags-*.html")
    assert '<bdi>reference: seasonal-naive</bdi></th><td class="right"><bdi>.840</bdi>' in page.read_text()


def anomaly_row(family, mode, model, vus, **more):
    base = {k: v for k, v in rows()[0].items() if k in {"tuning", "seed", "status", "reason", "created", "search_seconds", "trials"}}
    task_id = f"anomaly/v2/family={family}"
    return {
        **base,
        "task": "anomaly",
        "task_id": task_id,
        "dataset": "nab",
        "family": family,
        "mode": mode,
        "model": model,
        "vus_pr": vus,
        **more,
    }


def test_leagues_and_families_of_one_data_set_have_pages_of_their_own(tmp_path):
    weak = {"flags": ["underpowered"]}
    made = [
        *(anomaly_row("labelled", "causal", name, vus) for name, vus in ((ATTACK, 0.2), ("rolling-mean", 0.4))),
        anomaly_row("labelled", "offline", "centred", 0.3),
        anomaly_row("injected", "causal", ATTACK, 0.1, **weak),
        anomaly_row("injected", "causal", "rolling-mean", 0.3, **weak),
        anomaly_row("injected", "causal", "gru", None, status="oom", reason="too large"),
    ]
    write_rows(tmp_path / "leaderboard.parquet", Board.build(made).rows)
    figures = [{"task_id": f"anomaly/v2/family={f}", "dataset": "nab", **anomalies(), "leader": ATTACK} for f in ("labelled", "injected")]
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    folder = build(tmp_path).parent
    found = {path.name: read(path) for path in folder.glob("*.html")}
    assert len([name for name in found if name.startswith("board-")]) == 3
    assert len([name for name in found if name.startswith("anomalies")]) == 2
    assert len({re.search("<title>(.*?)</title>", (folder / name).read_text()).group(1) for name in found}) == len(found)
    for reader in found.values():
        for attrs in reader.all("a"):
            assert attrs["href"].startswith(("#", "../")) or (folder / attrs["href"].split("#")[0]).exists(), attrs["href"]
    assert "rolling-mean leads; the best" in found["anomalies.html"].text
    (other,) = (r for name, r in found.items() if name.startswith("anomalies-"))
    assert "Shown: rolling-mean, first by score; nothing is ranked" in other.text
    assert "gru on nab, causal, injected" in found["index.html"].text
