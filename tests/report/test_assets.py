import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pytest

from bench.report.assets import HERE, OWN, copy_assets, vendored

VENDOR = Path(__file__).parent / "vendor"
LISTED = [(HERE, item) for item in vendored()] + [(VENDOR, item) for item in json.loads((VENDOR / "VENDORED.json").read_text())]


@pytest.mark.parametrize(("folder", "item"), LISTED, ids=lambda x: x["file"] if isinstance(x, dict) else "")
def test_a_vendored_file_is_the_published_one_and_its_licence_lies_beside_it(folder, item):
    assert hashlib.sha256((folder / item["file"]).read_bytes()).hexdigest() == item["sha256"]
    assert len((folder / item["licence_file"]).read_text()) > 500
    assert item["licence"] in {"MIT", "MPL-2.0"}
    assert set(item) == {"file", "name", "version", "licence", "licence_file", "sha256"}


def test_every_asset_is_our_own_or_listed_and_together_they_are_small():
    listed = {name for item in vendored() for name in (item["file"], item["licence_file"])}
    assert {path.name for path in HERE.iterdir()} == {*listed, *OWN, "VENDORED.json"}
    assert sum(path.stat().st_size for path in HERE.iterdir()) < 1_600_000


def test_what_is_only_for_tests_does_not_ship():
    assert not list(HERE.glob("axe*"))


def test_the_vendored_plotly_is_the_one_of_the_python_package():
    from plotly.offline import get_plotlyjs_version

    (own,) = (item["version"] for item in vendored() if item["name"].startswith("plotly"))
    assert int(version("plotly").split(".")[0]) != 7 or get_plotlyjs_version() == own


def test_copying_twice_leaves_equal_files_alone(tmp_path):
    copy_assets(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "assets").iterdir()}
    (tmp_path / "assets" / "bench.css").write_text("old")
    copy_assets(tmp_path)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "assets").iterdir()}
    assert {path.name for path in before if before[path] != after[path]} == {"bench.css"}
    assert (tmp_path / "assets" / "bench.css").read_bytes() == (HERE / "bench.css").read_bytes()
