"""The ceiling of a published anomaly board is made again from the data, like every other number of its rows."""

from pathlib import Path

import pytest
from publish.kit import edited, forged, only

import bench
from bench.publish.publish import publish
from bench.publish.verify import verify
from bench.registry import discover


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Give a place where a run on injected anomalies is published."""
    options = {"family": "injected"}
    bench.run("anomaly", datasets=["retail"], models=["random", "abs-median"], profile="smoke", options=options, out=tmp_path / "run")
    publish(tmp_path / "run", str(tmp_path / "shelf"))
    return tmp_path / "shelf"


def test_a_raised_ceiling_is_found_where_the_rest_is_right(shelf: Path) -> None:
    checked = verify(str(shelf), discover())
    assert not checked.failures
    assert {line.level for line in checked.lines} == {"re-scored"}
    forged(shelf, lambda files: edited(files, only("abs-median", ceiling=0.999)))
    (failure,) = verify(str(shelf), discover()).failures
    assert "abs-median on retail-sim" in failure
    assert "ceiling: the row says 0.999, its prediction gives" in failure
