"""What a worker says is read as the words of a process that runs foreign code."""

from __future__ import annotations

import pytest

from bench.execute.messages import Ending, Result


def test_a_worker_tells_status_times_and_what_it_has_loaded() -> None:
    ending = Ending.read({"event": "done", "status": "ok", "fit_seconds": 2, "loaded": ["torch"], "spoilt": True})
    assert ending.result == Result("ok", fit_seconds=2.0)
    assert (ending.timed, ending.loaded, ending.spoilt) == (True, ("torch",), True)


def test_a_worker_cannot_name_the_files_of_its_prediction_or_pretend_that_it_was_killed() -> None:
    result = Ending.read({"status": "ok", "parts": [{"prediction": "/etc/passwd"}], "model": "/etc", "signal": 9}).result
    assert (result.parts, result.model, result.signal) == ((), None, 0)


@pytest.mark.parametrize(
    "forged", [{}, {"status": "splendid"}, {"status": "ok", "fit_seconds": float("nan")}, {"status": "ok", "fit_seconds": -1}]
)
def test_an_ending_that_makes_no_sense_is_refused(forged: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"status|times"):
        Ending.read(forged)
