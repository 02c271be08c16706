"""The files that all pages share: vendored scripts with their licences, our own script and style."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "assets"
OWN = ("bench.css", "bench.js", "choose.js")


def vendored() -> list[dict[str, Any]]:
    """List the vendored files: file, name, version, licence, licence_file, sha256."""
    listed: list[dict[str, Any]] = json.loads((HERE / "VENDORED.json").read_text())
    return listed


def copy_assets(report: Path) -> None:
    """Put the shared files into `report/assets`, once; files that are there and equal are left alone."""
    target = report / "assets"
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted(HERE.iterdir()):
        copy = target / source.name
        if source.is_file() and not (copy.exists() and copy.read_bytes() == source.read_bytes()):
            shutil.copyfile(source, copy)
