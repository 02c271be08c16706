"""What a search had reached after how much work."""

import pytest

from bench.report.anytime_chart import anytime_chart, curve


def trial(model: str, number: int, value: float | None, fit: float = 4.0, status: str = "ok") -> dict[str, object]:
    known = {"model": model, "number": number, "status": status, "latest_value": value}
    return {**known, "value": 0.0, "fit_seconds": fit, "predict_seconds": 1.0}


def row(model: str, rank: int) -> dict[str, object]:
    return {"task": "churn", "task_id": "churn/v2", "dataset": "d", "model": model, "rank": rank, "status": "ok", "roc_auc": 0.7}


TRIALS = [trial("a", 2, 0.6), trial("a", 0, 0.5), trial("a", 1, None, 20.0, "failed"), trial("a", 3, 0.55)]


@pytest.mark.parametrize(("higher", "best"), [(True, [0.5, 0.6, 0.6]), (False, [0.5, 0.5, 0.5])])
def test_the_best_so_far_stands_after_the_work_of_all_trials_before_it_failed_ones_too(higher: bool, best: list[float]) -> None:
    assert curve(TRIALS, higher=higher) == list(zip([5.0, 31.0, 36.0], best, strict=True))


def test_the_chart_tells_what_was_reached_after_ten_seconds_and_a_minute() -> None:
    chart = anytime_chart([row("b", 1), row("a", 2)], [*TRIALS, trial("b", 0, 0.4)])
    assert chart is not None
    assert [line["name"] for line in chart.traces] == ["a"]  # a single trial makes no curve
    assert chart.rows == [("a", "3", ".500", ".600", ".600", ".600", ".600", "36.0")]
    assert "after 2 of 3 trials and 31.0 s of work" in chart.finding


def test_what_had_nothing_yet_says_so_and_a_board_without_trials_has_no_chart() -> None:
    slow = [trial("a", 0, 0.5, 100.0), trial("a", 1, 0.6, 100.0)]
    chart = anytime_chart([row("a", 1)], slow)
    assert chart is not None
    assert chart.rows[0][2:4] == ("nothing yet", "nothing yet")
    assert anytime_chart([row("a", 1)], []) is None
    assert anytime_chart([], TRIALS) is None
