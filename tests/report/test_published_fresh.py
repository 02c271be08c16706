"""A freshly published site in a browser: each page has its figures and a command that is understood, and nothing tells of a user."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from html import unescape
from pathlib import Path

import polars as pl
import pytest
import run_kit
import typer
from report.screen import complaints

from bench.cli.app import app
from bench.publish.publish import publish
from bench.report import build

pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning", "default::ResourceWarning")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a place where a churn, a forecasting and an anomaly run are published."""
    place = tmp_path_factory.mktemp("fresh") / "place"
    for made in (run_kit.churn(), run_kit.forecasting(), run_kit.anomaly()):
        publish(made / "run", str(place))
    return place


def pages(place: Path, kind: str) -> list[Path]:
    return sorted((place / "site").glob(f"*/{kind}-*.html"))


def test_no_page_of_a_board_or_cell_is_without_its_figures(fresh: Path) -> None:
    cells = pages(fresh, "cell")
    assert len(cells) > 10
    bare = [path.name for path in (*cells, *pages(fresh, "board"), *pages(fresh, "search")) if 'class="plot"' not in path.read_text()]
    assert bare == []
    assert not any("not published with this run" in path.read_text() for path in cells if "forecasting" not in str(path))
    assert {path.parent.name for path in pages(fresh, "search")} == {"churn", "forecasting", "anomaly"}


def test_every_command_names_its_task_and_is_understood(fresh: Path) -> None:
    run = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    for path in pages(fresh, "cell"):
        (text,) = re.findall(r"<code>(bench run [^<]*)</code>", path.read_text())
        words = shlex.split(unescape(text))
        with run.make_context("run", words[2:]) as context:
            assert context.params["task"] == path.parent.name


def test_nothing_published_beside_the_rows_names_a_user_a_series_or_a_path(fresh: Path) -> None:
    for run in (fresh / "runs").iterdir():
        for figure in json.loads((run / "figures.json").read_text()):
            assert "series" not in figure
            assert all(not own for own in figure["models"].values()) or figure["kind"] in {"churn", "training"}
        told = (run / "figures.json").read_text() + pl.read_parquet(run / "trials.parquet").write_json()
        told += pl.read_parquet(run / "details.parquet").write_json()
        assert not re.search(r'"s\d"|u\d{3}|/tmp/|/work/', told)


def test_the_pages_show_what_the_runs_own_report_shows(fresh: Path, tmp_path: Path) -> None:
    own = build(shutil.copytree(run_kit.churn() / "run", tmp_path / "run")).parent
    names = [path.name for kind in ("churn", "search") for path in own.glob(f"{kind}*.html")]
    assert len(names) >= 4
    for name in names:
        shown = [re.findall(r'class="finding">([^<]*)<', (folder / name).read_text()) for folder in (own, fresh / "site" / "churn")]
        assert shown[0] == shown[1]


def test_each_kind_of_page_is_clean_and_draws_all_its_charts(visit, fresh: Path) -> None:
    kinds = [fresh / "site" / task / f"{kind}-*" for task in ("churn", "forecasting", "anomaly") for kind in ("board", "cell", "search")]
    chosen = [min(found) for kind in kinds if (found := sorted(kind.parent.glob(kind.name)))]
    assert len(chosen) == len(kinds)
    for path in [*chosen, fresh / "site" / "churn" / "churn.html", fresh / "glossary.html", fresh / "index.html"]:
        page = visit(path)
        assert complaints(page) == [], path
        assert page.locator(".plot:not(:has(svg.main-svg))").count() == 0, path
        page.close()
