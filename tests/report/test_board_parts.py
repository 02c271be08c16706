"""What stands on a board's page beside the table: coverage of the bands, and what was found by kind and strength."""

import re

import polars as pl
from report.kit import ATTACK, MODELS, row
from report.test_site import anomaly_row, read

from bench.board import Board
from bench.board.schema import write_rows
from bench.report import build
from bench.report.board_figures import forest_chart
from bench.report.coverage_chart import coverage_chart
from bench.report.detection_tables import by_kind, by_strength


def test_coverage_counts_the_bands_that_are_surely_too_narrow_or_too_wide():
    shown = [row("shop", at, model) for at, model in enumerate(MODELS)]  # 80 % bands: .70, .72, ... .84, from .025 below to .015 above
    chart = coverage_chart(shown)
    assert f"{MODELS[0]} covers 50% with its 60 % band and 70% with its 80 % band" in chart.finding
    assert "too narrow for 5 and too wide for 1 of 8 models" in chart.finding
    assert [t["marker"]["symbol"] for t in chart.traces] == ["circle", "square"]
    assert [s["x0"] for s in chart.layout["shapes"]] == [0.6, 0.8]
    assert chart.rows[0] == (MODELS[0], ".500", "-", ".700", ".675 to .715")
    assert "<img" not in str(chart.spec())


def test_coverage_is_drawn_where_it_was_measured():
    bare = {k: v for k, v in row("shop", 0, "m").items() if not k.startswith("coverage")}
    assert coverage_chart([bare]) is None
    chart = coverage_chart([bare, {**row("shop", 1, "n"), "coverage_60": None}])
    assert [r[0] for r in chart.rows] == ["n"]
    assert chart.rows[0][1:3] == ("not measured", "none")
    assert chart.traces[0]["x"] == []


def test_the_board_of_forecasts_has_the_coverage_and_that_of_others_has_none(site):
    (board,) = site.glob("board-retail-sim-*.html")
    assert "Do the bands hold?" in read(board).text


def detail(model, kind, strength, found, incidents, *, decoy=False, **more):
    own = {"by": "kind", "at": kind, "strength": strength, "decoy": decoy, "incidents": incidents, "found": found}
    return {"task_id": "anomaly/v2/family=injected", "dataset": "nab", "model": model, "tuning": "default", **own, **more}


DETAILS = [
    detail("a", "bot", 0.5, 0, 4),
    detail("a", "bot", 1.0, 3, 4),
    detail("a", "spike", 1.0, 2, 2),
    detail("a", "sale", 1.0, 1, 50, decoy=True),
    detail(ATTACK, "bot", 0.5, 0, 4),
    {"task_id": "anomaly/v2/family=injected", "dataset": "nab", "model": "a", "tuning": "default", "by": "entity", "at": "u1"},
]


def cells(html):
    return [re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", html)]


def test_all_models_stand_by_kind_with_their_false_alarms():
    html = by_kind(DETAILS, ["a", ATTACK, "gone"])
    found = cells(html)
    assert found[:4] == ["model", "bot", "spike", "decoys (lower is better)"]
    assert found[4:8] == ["a", "38% (3 of 8)", "100% (2 of 2)", "2% (1 of 50)"]
    assert found[9:] == ["0% (0 of 4)", "none put in", "none put in"]
    assert 'class="tint2"><bdi>38%' in html
    assert 'class="tint3"><bdi>100%' in html
    assert "<td><bdi>2%" in html
    assert "<img" not in html


def test_one_model_stands_by_kind_and_strength():
    found = cells(by_strength(DETAILS, "a"))
    assert found[:4] == ["kind", "strength 0.5", "strength 1", "all"]
    assert found[4:8] == ["bot", "0% (0 of 4)", "75% (3 of 4)", "38% (3 of 8)"]
    assert found[12] == "decoy: sale"
    assert by_strength(DETAILS, "gone") is None


def test_where_no_incident_has_a_kind_there_is_no_table():
    assert by_kind(DETAILS[-1:], ["a"]) is None


def test_board_and_cell_of_an_injected_family_show_what_was_found(tmp_path):
    write_rows(tmp_path / "leaderboard.parquet", Board.build([anomaly_row("injected", "causal", m, 0.3) for m in ("a", ATTACK)]).rows)
    pl.DataFrame(DETAILS, infer_schema_length=None).write_parquet(tmp_path / "details.parquet")
    folder = build(tmp_path).parent
    assert "38% (3 of 8)" in read(next(folder.glob("board-*.html"))).text
    assert "75% (3 of 4)" in read(next(folder.glob("cell-nab-causal-a-*.html"))).text


def behind(model, at, rank=1, wide=0.01):
    ends = {"behind": at, "behind_low": at - wide, "behind_high": at + wide}
    return {**row("shop", 0, model), **ends, "rank": rank, "tied": at < wide}


def test_the_forest_keeps_the_scale_of_the_contenders_and_names_the_floors_at_its_edge():
    contenders = [behind(f"m{at}", 0.005 * at, at + 1) for at in range(8)]
    chart = forest_chart([*contenders, behind("floor", 0.3, 9)])
    *_, arrows = chart.traces
    assert (arrows["text"], arrows["y"], arrows["marker"]["symbol"]) == ([".300"], [8], "triangle-right")
    assert arrows["x"][0] < chart.layout["xaxis"]["range"][1] < 0.06
    assert 8 not in [y for trace in chart.traces[:-1] for y in trace["y"]]
    assert "beyond the scale" in chart.note
    assert chart.rows[-1][1] == "+.300", "the table has its place"


def test_a_forest_without_floors_far_away_has_no_edge():
    chart = forest_chart([behind(f"m{at}", 0.005 * at, at + 1) for at in range(9)])
    assert len(chart.traces) == 2
    assert "range" not in chart.layout["xaxis"]
    assert "beyond" not in chart.note
