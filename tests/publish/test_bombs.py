"""Small files that stand for gigabytes are refused in one line, within a gibibyte of memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BOMBS = Path(__file__).with_name("bombs.py")


@pytest.fixture(scope="module")
def ended() -> dict[str, str]:
    done = subprocess.run([sys.executable, str(BOMBS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return {line["name"]: line["how"] for line in map(json.loads, done.stdout.splitlines())}


def test_no_bomb_is_read(ended: dict[str, str]) -> None:
    assert len(ended) == 13
    read = {name: how for name, how in ended.items() if not how.startswith("refused: ")}
    # 270 GB of text that stay a few megabytes, because no text is spelt out
    assert read == {"a dictionary value of 90,000 characters, 3 million rows": "read: False"}
    assert all("\n" not in how and len(how) < 400 for how in ended.values())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("the same as an index", "3,000,000 rows, which is refused: at most 20,000 are read"),
        ("run-lengths of every column", "200,000 rows, which is refused: at most 5,000 are read"),
        ("rows with long texts", "bytes of text, which is refused: at most 16,777,216 are read"),
        ("a page of 500 MB", "larger than 268,435,456 bytes in memory, which is refused"),
        ("a page of 500 MB that the footer hides", "not readable as Parquet (malloc of size"),
        ("an array of 250 MB of zeros", "which is refused: no prediction for this data takes more than 67,108,864"),
        ("20,000 empty members", "more than 10,000 arrays, which is refused"),
        ("10 million lists", "more than 2,000,000 values, which is refused"),
    ],
)
def test_a_bomb_is_refused_for_what_it_is(ended: dict[str, str], name: str, said: str) -> None:
    assert said in ended[name]
