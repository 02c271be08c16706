"""Times that no log holds are dropped, and counted under a reason of their own."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.registry import discover

DAYS = [f"2024-01-{day:02d}" for day in range(1, 29)]


def cleaning(adapter: str, file: Path, **options: str) -> dict[str, int]:
    return dict(discover().dataset(adapter).read(file, options).cleaning)


@pytest.mark.parametrize("strange", ["1801-05-01", "1969-12-31", "2905-01-01", f"{datetime.now(UTC).year + 11}-06-01"])
def test_a_day_before_1970_or_over_ten_years_ahead_is_dropped_and_counted(strange: str, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user,time\n" + "".join(f"u,{day}\n" for day in [*DAYS * 10, strange]))
    found = cleaning("events", file)
    assert sum(found.values()) == 1
    # what lies centuries away is taken for unreadable before anything else
    assert set(found) <= {"implausible date", "bad date"}


def test_the_last_row_of_a_torn_file_of_unix_times_is_no_event_of_1970(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    whole = "user,time\n" + "".join(f"u,{1_700_000_000 + 1_000 * n}\n" for n in range(200))
    for lost in (1, 2, 4, 8):
        file.write_text(whole[: -1 - lost])
        assert cleaning("events", file) == {"implausible date": 1}


def test_columns_swapped_in_one_row_are_no_event(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user,time\n" + "".join(f"{n},{1_700_000_000 + n}\n" for n in range(200)) + "1700000000,77\n")
    assert cleaning("events", file) == {"implausible date": 1}


def test_torn_edges_and_sales_are_counted_too(tmp_path: Path) -> None:
    edges = tmp_path / "edges.txt"
    edges.write_text("".join(f"{n} {n + 1} {1_082_040_961 + n}\n" for n in range(200)) + "3 4 1082")
    assert cleaning("social", edges) == {"implausible date": 1}
    sales = tmp_path / "sales.csv"
    head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    rows = [f"9{n},A,thing,1,{day} 10:00:00,2.5,{n},UK\n" for n, day in enumerate([*DAYS * 5, "1801-01-01"])]
    sales.write_text(head + "".join(rows))
    assert cleaning("retail", sales) == {"implausible date": 1}


def test_a_log_of_the_early_seventies_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user,time\n" + "".join(f"u,{86_400 * n}\n" for n in range(1, 200)))
    assert cleaning("events", file, time_unit="s") == {}
