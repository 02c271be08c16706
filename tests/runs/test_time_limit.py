"""A limit on the whole run is shared fairly, its final fits kept back, and said before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_kit import purchases, run

from bench.errors import ConfigError
from bench.runs.run_events import RunReady
from bench.runs.time_limit import seconds_of, share, words


def test_times_are_read_as_people_write_them() -> None:
    assert [seconds_of(text) for text in ("30m", "2h", "90s", "90", "1.5 min")] == [1800, 7200, 90, 90, 90]
    for text in ("soon", "0m", "-3m", "m"):
        with pytest.raises(ConfigError, match="is no time"):
            seconds_of(text)


def test_every_cell_has_the_same_share_of_all_workers() -> None:
    assert share(1800, workers=2, cells=16) == 1800 * 2 / 16 / 60
    assert words(1800, 2, 16, 3).startswith(
        "time limit 30 min: 16 cells share 2 workers, 3.8 worker minutes each, the final fits of 3 seeds"
    )


def test_a_run_with_too_little_time_ends_its_searches_and_still_has_its_rows(tmp_path: Path) -> None:
    purchases(0.006, seed=1).write_csv(tmp_path / "log.csv")
    said: list[RunReady] = []
    board = run(
        "churn", tmp_path / "run", data=str(tmp_path / "log.csv"), models=["rfm-lightgbm"], horizon="14d", trials=40, time_limit=0.01,
        listen=lambda event: said.append(event) if isinstance(event, RunReady) else None,
    )  # fmt: skip
    assert "time limit" in said[0].words[0]
    [tuned] = [row for row in board.rows if row["tuning"] == "tuned"]
    assert tuned["status"] == "ok"
    assert tuned["stopped_by"] == "minutes"
    assert tuned["trials"] < 40
