"""Run one check inside pytest: skipped where it says nothing, expected to fail where that was announced."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.testing.asking import NotApplicableError


def run_check(call: Callable[[], None], excuse: str) -> None:
    """Run a check; `excuse`: why it may fail, empty where it may not. One that passes in spite of its excuse fails."""
    try:
        call()
    except NotApplicableError as reason:
        pytest.skip(str(reason))
    except Exception:
        if not excuse:
            raise
        pytest.xfail(excuse)
    if excuse:
        pytest.fail(f"it passes, although it was expected to fail ({excuse}); take it off the list")
