"""What a worker says is read as the words of a process that runs foreign code."""

from __future__ import annotations

import pytest

from bench.execute.messages import Ending, Result
from bench.execute.worker import _throttled


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


def test_what_a_fit_reports_is_noted_whole_however_fast_it_comes_and_a_second_training_begins_anew() -> None:
    told: list[object] = []
    curve: list[list[float]] = []
    report = _throttled(told.append, curve)
    for step, value in [(0, 9.0), (1, 8.0), (0, 3.0), (1, 2.0), (2, 2.5)]:
        report(step, value)
    assert curve == [[0, 3.0], [1, 2.0], [2, 2.5]]
    assert len(told) < 5, "the progress line hears a few a second"


def test_a_curve_is_read_with_its_numbers_alone_and_no_longer_than_it_may_be() -> None:
    points = [[step, float("nan") if step == 1 else step / 10] for step in range(1000)]
    found = Ending.read({"status": "ok", "curve": points}).result.curve
    assert found[:2] == ((0, 0.0), (2, 0.2))
    assert len(found) == 199
    assert Ending.read({"status": "ok"}).result.curve == ()
