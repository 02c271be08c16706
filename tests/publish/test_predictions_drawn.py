"""A run that was published without figures: its predictions are counted, and its pages say what is lacking."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import run_kit

from bench.publish import package
from bench.publish.predictions_drawn import ahead, spread
from bench.publish.publish import publish
from bench.report.predictions_chart import WITHOUT


def test_scores_of_users_are_counted_as_they_are() -> None:
    found = spread([np.array([0.0, 0.04, 0.96, 1.0, np.nan])])
    assert (found["of"], found["counts"][0], found["counts"][-1], sum(found["counts"])) == ("users", 2, 2, 4)
    assert found["mean"] == 0.5


def test_scores_of_steps_are_placed_between_the_ends_of_their_series() -> None:
    scores = np.array([[5.0, 6.0, 7.0, np.nan], [-1e9, 0.0, 1e9, np.inf], [3.0, 3.0, 3.0, 3.0], [np.nan] * 4])
    found = spread([scores])
    assert (found["of"], sum(found["counts"])) == ("steps", 10)
    assert (found["counts"][0], found["counts"][10], found["counts"][-1]) == (6, 2, 2)


def test_forecasts_are_averaged_over_series_and_windows() -> None:
    windows = [np.arange(12.0).reshape(2, 2, 3), np.arange(12.0).reshape(2, 2, 3) + 2]
    found = ahead(windows)
    assert (found["low"], found["median"], found["high"]) == ([4.0, 7.0], [5.0, 8.0], [6.0, 9.0])
    assert (found["series"], found["windows"], found["levels"]) == (2, 2, 3)


@pytest.mark.parametrize("strange", [[np.zeros((2, 3))], [np.zeros((2, 3, 1)), np.zeros((2, 4, 1))], [np.full((1, 2, 3), 1e300)]])
def test_what_is_not_of_the_form_of_a_forecast_is_not_drawn(strange: list[np.ndarray]) -> None:
    assert ahead(strange) == {}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a place of runs that were published as before there were figures."""
    place = tmp_path_factory.mktemp("old") / "place"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "pictures", lambda *_, **__: {})
        for made in (run_kit.churn(), run_kit.forecasting(), run_kit.anomaly()):
            publish(made / "run", str(place))
    return place


def cells(place: Path) -> list[Path]:
    return sorted((place / "site").glob("*/cell-*.html"))


def test_every_cell_has_a_figure_and_says_that_there_were_none(old: Path) -> None:
    texts = [path.read_text() for path in cells(old)]
    assert len(texts) > 10
    assert all('data-chart="predictions"' in text for text in texts)
    assert all(text.count(WITHOUT.partition(".")[0]) == 1 for text in texts)


def test_a_prediction_that_cannot_be_read_leaves_its_cell_with_the_words_alone(old: Path, tmp_path: Path) -> None:
    from bench.publish.derive import derive
    from bench.publish.store import open_store

    place = shutil.copytree(old, tmp_path / "place")
    for run in (place / "runs").iterdir():
        for file in (run / "predictions").iterdir():
            file.write_bytes(b"PK")
    derive(open_store(str(place)))
    assert not any('class="plot" data-chart="predictions"' in path.read_text() for path in cells(place))
    assert all(re.search("not published with this run", path.read_text()) for path in cells(place))


def test_nothing_is_drawn_anew_where_figures_were_published(tmp_path: Path) -> None:
    publish(run_kit.churn() / "run", str(tmp_path / "place"))
    assert not any(WITHOUT in path.read_text() for path in cells(tmp_path / "place"))
    figures = [json.loads(path.read_text()) for path in (tmp_path / "place" / "runs").glob("*/figures.json")]
    assert len(figures) == 1
