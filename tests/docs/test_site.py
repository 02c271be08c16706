"""The documentation is built as CI builds it: strictly, without network; its generated pages say what the code says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="mkdocs-material is not installed: pip install 'seqbench[docs]'")

ROOT = Path(__file__).resolve().parents[2]


class Loaded(HTMLParser):
    """Collect what a browser fetches for a page by itself, and the links."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {given["id"] or ""} if "id" in given else set()
        if tag in {"script", "img", "iframe"} and given.get("src"):
            self.fetched.append(given["src"] or "")
        if tag == "link" and given.get("rel") in {"stylesheet", "icon", "preconnect", "preload"}:
            self.fetched.append(given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(to)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return to


def test_no_page_asks_another_host_for_anything(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = Loaded()
        text = page.read_text("utf-8")
        loaded.feed(text)
        assert 'data-md-component="source"' not in text, "the theme asks the repository's host for its stars"
        assert not [address for address in loaded.fetched if re.match(r"(https?:)?//", address)], page


def test_the_command_line_page_has_every_command_and_option(site):
    import typer.main

    from bench.cli.app import app

    text = (site / "reference" / "command-line" / "index.html").read_text("utf-8")

    def leaves(name, command):
        for sub, own in getattr(command, "commands", {}).items():
            yield from leaves(f"{name} {sub}", own)
        if not hasattr(command, "commands"):
            yield name, [option for p in command.params if p.param_type_name == "option" and p.name != "help" for option in p.opts]

    for name, options in leaves("bench", typer.main.get_command(app)):
        section = re.search(rf'<h2 id="{name.replace(" ", "-")}">(.*?)(<h2|</article)', text, re.DOTALL)
        assert section, name
        assert all(re.search(rf"<code>{re.escape(option)}[ <]", section[1]) for option in options), (name, options)


def test_the_api_page_documents_what_bench_exports(site):
    import bench

    loaded = Loaded()
    loaded.feed((site / "reference" / "api" / "index.html").read_text("utf-8"))
    documented = {name.rpartition(".")[2] for name in loaded.ids}
    assert set(bench.__all__) - documented == {"hookimpl", "Params"}
