"""Turn how a check ends into an outcome of pytest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.testing.answers import NotApplicableError


def run_check(check: Callable[[], object], excuse: str) -> None:
    """Run a check: skip it where it says nothing about the plugin; one with an `excuse` must fail, as was announced."""
    try:
        check()
    except NotApplicableError as reason:
        pytest.skip(str(reason))
    except Exception:
        if not excuse:
            raise
        pytest.xfail(excuse)
    if excuse:
        pytest.fail(f"it passes, although it was expected to fail ({excuse}); take it off the list")
