from pathlib import Path

import pytest
from report.kit import write_run

from bench.report import build


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Build the report of the run folder once; gives the report's folder."""
    folder = write_run(tmp_path_factory.mktemp("run"))
    return build(folder).parent
