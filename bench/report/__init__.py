"""The report: a folder of small static pages that opens from a disk, with no network and no server."""

from __future__ import annotations

from pathlib import Path

__all__ = ["build"]


def build(run_folder: Path | str) -> Path:
    """Write the whole report of a finished run folder and return its first page; see `bench.report.site`."""
    from bench.report.site import build as build_report

    return build_report(run_folder)
