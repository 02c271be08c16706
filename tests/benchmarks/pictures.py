"""Take the pictures of README and documentation: `python tests/benchmarks/pictures.py PLACE`, a place that `bench publish` wrote.

They are written to `docs/images`: the first page, a churn board and a cell with its map of users (and the comparison across data
sets, where there are several), light and dark. Those of the repository are of

    bench run --task churn --dataset retail --profile short --trials 6 --seeds 1 --model rfm-logit --model rfm-lightgbm --model gbm \\
        --model bgnbd --model paretonbd --model recency --model frequency --model base-rate --model vae --model self-attention
    bench publish RUN --to PLACE && bench verify PLACE --rerun 2 --record
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
SIZE = {"width": 1240, "height": 900}


def shown(place: Path) -> dict[str, tuple[Path, str]]:
    """Choose the pages, each with what is scrolled to (empty: its top): of the largest churn board the cell with a map of users."""
    churn = place / "site" / "churn"
    board = max(churn.glob("board-*.html"), key=lambda path: path.stat().st_size)
    cell = next(path for path in sorted(churn.glob("cell-*.html")) if 'data-chart="map"' in path.read_text())
    found = {"front": (place / "index.html", ""), "board": (board, ""), "cell": (cell, '[data-chart="map"]')}
    return {**found, "across": (churn / "across.html", "")} if (churn / "across.html").is_file() else found


def main() -> None:
    """Open each page and write its picture."""
    place = Path(sys.argv[1]).resolve()
    browser = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            page = chromium.new_context(viewport=SIZE, color_scheme=scheme).new_page()
            for name, (path, to) in shown(place).items():
                page.goto(path.as_uri())
                if to:
                    page.locator(f"figure:has({to})").scroll_into_view_if_needed()
                    page.locator(f"{to} svg.main-svg").first.wait_for()
                    page.evaluate("at => document.querySelector(at).closest('figure').scrollIntoView()", to)
                page.wait_for_timeout(500)  # the first charts are drawn when they come into sight
                page.screenshot(path=IMAGES / f"{name}-{scheme}.png")
        chromium.close()


if __name__ == "__main__":
    main()
