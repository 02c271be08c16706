import shutil
from pathlib import Path

import pytest
from report.kit import anomalies, write_churn_run, write_run

from bench.report import build
from bench.report.pages import write_plots

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first takes three fifths of the second's processor time: it has no windows to draw."""
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Build the report of the run folder once; gives the report's folder."""
    return build(write_run(tmp_path_factory.mktemp("run"))).parent


@pytest.fixture(scope="session")
def churn_site(tmp_path_factory) -> Path:
    """Build the report of a churn run once; gives the report's folder."""
    return build(write_churn_run(tmp_path_factory.mktemp("churn"))).parent


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it is among the dev dependencies")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium-headless-shell")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open pages; at the end there must have been no error, no request off the disk and nothing run from a name."""
    contexts, problems, pages = [], [], []

    def open_page(path, *, width=1280, scheme="light", after="", **more):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: problems.append(f"{path.name}: {m.type} {m.text}") if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda e: problems.append(f"{path.name}: {e}"))
        page.on("request", lambda r: problems.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None)
        page.goto(f"{path.as_uri()}{after}")
        pages.append(page)
        return page

    yield open_page
    hacked = [page.url for page in pages if not page.is_closed() and page.evaluate("window.hacked") is not None]
    for context in contexts:
        context.close()
    assert not problems
    assert not hacked


@pytest.fixture(scope="module")
def board(site):
    (path,) = site.glob("board-retail-sim-*.html")
    return path


@pytest.fixture(scope="module")
def timeline(tmp_path_factory):
    return write_plots(tmp_path_factory.mktemp("plots"), [{"task_id": "anomaly/v1", "dataset": "nab", **anomalies()}], "nab")
