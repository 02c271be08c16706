"""Files that are torn, binary, mis-encoded, gigantic or hostile: every adapter answers with one clear line, or reads them."""

from __future__ import annotations

import builtins
import random
import socket
from pathlib import Path

import pytest

from bench.cli import invoke

NOISE = random.Random(0).randbytes(20_000)
GOOD = b"user_id,timestamp,value\na,2024-01-01,1\nb,2024-01-02,2\n"
FILES = {
    "noise.csv": NOISE,
    "noise.txt": NOISE,
    "combined_data_1.txt": NOISE,
    "nulls.csv": b"user_id,timestamp\n" + b"\0\0\0,\0\n" * 50,
    "latin.csv": b"user_id,timestamp\n" + "Jos\xe9,soon\n".encode("latin-1") * 50,
    "torn.csv": GOOD + b"c,2024-01-0",
    "giant.csv": b"user_id,timestamp\n" + b"a" * 5_000_000 + b",2024-01-01\n",
    "quote.csv": b'user_id,timestamp\n"a,2024-01-01\n' * 3,
    "twice.csv": b"user_id,user_id,timestamp\na,b,2024-01-01\n",
    "head.csv": b"user_id,timestamp\n",
    "torn.parquet": b"PAR1" + NOISE[:500],
    "torn.jsonl": b'{"user_id":"a","timestamp":"2024-01-01"}\n{"user_id":',
    "torn.csv.gz": b"\x1f\x8b" + NOISE[:100],
    "torn.xlsx": b"PK\x03\x04" + NOISE[:200],
}


@pytest.mark.parametrize("adapter", ["events", "series", "retail", "netflix", "social", "activity"])
@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_ends_in_one_clear_line_that_names_it(
    name: str, adapter: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    assert invoke(["data", "check", adapter, str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert captured.err[:-1].isprintable()
    assert name in captured.err
    assert len(captured.err) < 700 + 2 * len(str(tmp_path))


def test_paths_and_addresses_inside_a_file_are_text_and_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    log = tmp_path / "log.csv"
    log.write_text(f"user_id,timestamp,item\nhttp://127.0.0.1:9/x,2024-01-01,{secret}\nfile://{secret},2024-01-02,{secret}\n")
    opened: list[str] = []
    plain = builtins.open

    def watched(file: object, *arguments: object, **more: object) -> object:
        opened.append(str(file))
        return plain(file, *arguments, **more)

    def called(*_: object, **__: object) -> None:
        pytest.fail("an address in a data file was called")

    monkeypatch.setattr(builtins, "open", watched)
    monkeypatch.setattr(socket, "socket", called)
    assert invoke(["data", "check", "events", str(log), "--json"]) == 0
    assert str(secret) not in opened
