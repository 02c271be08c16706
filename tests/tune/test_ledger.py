"""The ledger keeps what is finished, whatever happens to the process or to the disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from execute.kit import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import RunFolderError
from bench.tune.ledger import FORMAT, Ledger

HOLD = """
import sys, time
from pathlib import Path
from bench.tune.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    ledger.append({"format": 2, "key": "held", "value": 1})
    print("open", flush=True)
    time.sleep(600)
"""
FILL = """
import resource, sys
from pathlib import Path
from bench.errors import RunFolderError
from bench.tune.ledger import Ledger
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with Ledger(Path(sys.argv[1])) as ledger:
    try:
        for n in range(1000):
            ledger.append({"format": 2, "key": f"k{n}", "text": "x" * 77})
            print(n, flush=True)
    except RunFolderError as error:
        print(error, file=sys.stderr)
"""


def entry(n: int, text: str = "") -> dict[str, object]:
    return {"format": FORMAT, "key": f"k{n}", "value": n / 7, "reason": text}


def filled(folder: Path, entries: list[dict[str, object]]) -> Path:
    with Ledger(folder) as ledger:
        for each in entries:
            ledger.append(each)
    return ledger.path


def test_a_ledger_cut_off_at_any_byte_keeps_every_whole_line_and_goes_on(tmp_path: Path) -> None:
    entries = [entry(n, "naïve\n\r\x85\u2028 \x00") for n in range(4)]
    whole = filled(tmp_path / "whole", entries).read_bytes()
    ends = [at for at, byte in enumerate(whole, 1) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        folder = tmp_path / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "ledger.jsonl").write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        with Ledger(folder) as ledger:
            assert list(ledger.entries.values()) == entries[:kept]
            ledger.append(entry(9))
        with Ledger(folder) as again:
            assert list(again.entries.values()) == [*entries[:kept], entry(9)]


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=5), data=st.data())
def test_any_text_survives_a_torn_last_line(tmp_path_factory: pytest.TempPathFactory, texts: list[str], data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    entries = [entry(n, text) for n, text in enumerate(texts)]
    path = filled(folder, entries)
    last = len(path.read_bytes().splitlines(keepends=True)[-1])
    torn = data.draw(st.integers(1, last))
    os.truncate(path, path.stat().st_size - torn)
    with Ledger(folder) as ledger:
        assert list(ledger.entries.values()) == entries[:-1]


@pytest.mark.parametrize("damage", [b'{"key": "k1", "val', b"", b"\x00\x00\x00", b"[1]", b'{"value": 1}', b"\xff\xfe"])
def test_a_damaged_middle_line_is_named_with_file_line_and_cure(tmp_path: Path, damage: bytes) -> None:
    path = filled(tmp_path, [entry(n) for n in range(3)])
    lines = path.read_bytes().split(b"\n")
    lines[1] = damage
    before = b"\n".join(lines)
    path.write_bytes(before)
    with (
        pytest.raises(RunFolderError, match=r"ledger\.jsonl: line 2 is damaged .*; mend or remove it, or use another --out"),
        Ledger(tmp_path),
    ):
        pass
    assert path.read_bytes() == before, "a refused ledger must be left as it was"


def test_a_refused_ledger_frees_the_lock_so_that_it_can_be_mended(tmp_path: Path) -> None:
    path = filled(tmp_path, [entry(0), entry(1)])
    path.write_bytes(b"damage\n" + path.read_bytes())
    with pytest.raises(RunFolderError, match="line 1 is damaged") as kept, Ledger(tmp_path):
        pass
    path.write_bytes(path.read_bytes().removeprefix(b"damage\n"))
    with Ledger(tmp_path) as ledger:
        assert len(ledger.entries) == 2
    assert kept.value is not None  # the error's frames still hold the first ledger: its lock must be free all the same


def test_the_later_line_of_a_key_wins_after_reopening(tmp_path: Path) -> None:
    filled(tmp_path, [entry(0, "first"), entry(1), entry(0, "second")])
    with Ledger(tmp_path) as ledger:
        assert ledger.entries["k0"]["reason"] == "second"
        assert len(ledger.entries) == 2


def test_an_entry_is_read_where_its_latest_line_begins_and_is_not_held(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for n in range(3):
            ledger.append(entry(n, "naïve\n\u2028"))
            assert ledger.entries[f"k{n}"] == entry(n, "naïve\n\u2028")
        ledger.append(entry(1, "again"))
        assert ledger.entries["k1"]["reason"] == "again"
        assert [ledger.entries[f"k{n}"]["value"] for n in (2, 0)] == [2 / 7, 0.0]
        assert ledger.entries["k0"] is not ledger.entries["k0"]
        assert "k3" not in ledger.entries
        with pytest.raises(KeyError):
            ledger.entries["k3"]
        assert list(ledger.entries) == ["k0", "k1", "k2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda text: "?" * len(text), "Expecting value"), (lambda text: text.replace("k0", "k9"), "another key at byte 0")],
)
def test_a_line_that_somebody_changes_while_the_ledger_is_open_is_refused(tmp_path: Path, change: Callable[[str], str], words: str) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.append(entry(0))
        ledger.path.write_text(change(ledger.path.read_text()))
        with pytest.raises(RunFolderError, match=rf"ledger\.jsonl: changed while it was open \({words}.*; mend it, or use another --out"):
            ledger.entries["k0"]


def test_numbers_that_json_cannot_hold_are_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        with pytest.raises(ValueError, match="JSON"):
            ledger.append({"key": "k", "value": float("nan")})
        assert ledger.path.read_bytes() == b""


def test_a_second_process_is_refused_and_a_killed_one_frees_the_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(RunFolderError, match=f"is in use by process {holder.pid}; wait for it, or choose another with --out DIR"):
            Ledger(tmp_path).__enter__()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with Ledger(tmp_path) as ledger:
        assert list(ledger.entries) == ["held"]
        ledger.append(entry(1))


def test_two_ledgers_of_one_process_do_not_share_a_folder(tmp_path: Path) -> None:
    with Ledger(tmp_path), pytest.raises(RunFolderError, match="in use"):
        Ledger(tmp_path).__enter__()


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunFolderError, match="choose another with --out DIR"):
        Ledger(tmp_path / "run").__enter__()


def resumed(folder: Path, said: list[str]) -> None:
    """Assert that all that was reported as written is there, and that the ledger goes on."""
    with Ledger(folder) as ledger:
        assert [int(key[1:]) for key in ledger.entries] == [int(n) for n in said]
        ledger.append(entry(999))
    lines = (folder / "ledger.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == len(said) + 1


def test_a_file_that_may_not_grow_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "what is finished is kept: make room and give the same command again" in done.stderr
    assert (tmp_path / "ledger.jsonl").stat().st_size == 1000, "the last line must have been torn by the limit"
    assert len(done.stdout.split()) == 8
    resumed(tmp_path, done.stdout.split())


def fill(folder: Path, said: list[str]) -> None:
    with Ledger(folder) as ledger:
        for n in range(1000):
            ledger.append(entry(n, "x" * 500))
            said.append(str(n))


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("this user may not mount a small disk")
    said: list[str] = []
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 40_000)
        with pytest.raises(RunFolderError, match="No space left on device; what is finished is kept"):
            fill(disk / "run", said)
        assert said, "some lines fit"
        ballast.unlink()
        resumed(disk / "run", said)
    finally:
        wait_until(lambda: subprocess.run(["umount", str(disk)], check=False).returncode == 0, "the disk is unmounted")


def test_a_ledger_of_another_version_is_refused_with_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text('{"key": "k1", "value": 1}\n')
    with pytest.raises(RunFolderError, match=r"ledger format 1, this one has 2\); choose another --out") as refused, Ledger(tmp_path):
        pass
    assert "\n" not in str(refused.value)
    assert (tmp_path / "ledger.jsonl").read_text() == '{"key": "k1", "value": 1}\n'


def test_a_line_of_another_version_whose_key_has_a_later_line_of_this_one_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text('{"key": "k1", "value": 1}\n' + json.dumps(entry(1)) + "\n")
    with Ledger(tmp_path) as ledger:
        assert ledger.entries["k1"] == entry(1)
