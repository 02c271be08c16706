"""What a verification found is kept and shown; nothing that is written over it makes the site claim more than a new one finds."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from publish.kit import edited, forged, only, run_of

from bench.cli import invoke
from bench.cli.verify import verify_command
from bench.errors import ConfigError
from bench.publish.publish import rebuild, record
from bench.publish.records import Record, compared
from bench.publish.rerun import _corrected
from bench.publish.store import PlaceError
from bench.publish.verify import Checked, verify
from bench.registry import discover
from bench.tasks.churn.task import Churn

needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", str(file)], check=True)
    return file


def checked(place: Path, **more: Any) -> Checked:
    return verify(str(place), discover(), **more)


def front(place: Path) -> str:
    return (place / "index.html").read_text()


def rewritten(place: Path, change: Callable[[dict[str, Any]], Any], *, renamed: bool = True) -> None:
    """Change the record of a place; whoever does so mends its name as well, and derives the site again."""
    (file,) = (place / "verifications").iterdir()
    document = json.loads(file.read_text())
    change(document)
    content = json.dumps(document, indent=1, sort_keys=True).encode()
    file.unlink()
    name = hashlib.sha256(content).hexdigest()[:32] if renamed else file.stem
    file.with_name(f"{name}.json").write_bytes(content)
    rebuild(str(place))


def test_what_was_found_stands_on_the_first_page_with_its_date_and_counts(place: Path) -> None:
    assert "No verification is recorded here." in front(place)
    assert invoke(["verify", str(place), "--rerun", "1", "--sandbox", "off", "--record"]) == 0
    text = front(place)
    rows = sum(line.row["status"] == "ok" for line in checked(place).lines)
    assert f"Verification recorded on {datetime.now(UTC):%Y-%m-%d} (unsigned): {rows} of {rows} scored rows scored again, 1 of them" in text
    assert "A record is the word of whoever wrote it" in text
    again = checked(place)
    assert again.failures == []
    words = f"of {rows} rows that it calls verified {rows} agree here, 1 were fitted again there and not here: give --rerun"
    assert any(words in note for note in again.notes)


@needs_ssh
def test_a_signed_record_names_its_key_and_a_signature_of_something_else_fails(place: Path, key: Path) -> None:
    assert invoke(["verify", str(place), "--record", "--sign", str(key)]) == 0
    told = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert f"signed with key {told}" in front(place)
    assert any(f"signed by key ED25519 {told}" in note for note in checked(place).notes)
    (signature,) = (place / "signatures").iterdir()
    rewritten(place, lambda document: document.update(time="2026-01-01T00:00:00+00:00"))
    assert "(unsigned)" in front(place), "the signature is of another record"
    (file,) = (place / "verifications").iterdir()
    signature.rename(signature.with_name(f"{file.stem}.sig"))
    rebuild(str(place))
    assert any("no signature of this commit" in words for words in checked(place).failures)


@needs_ssh
def test_where_signers_are_given_an_unsigned_record_fails(place: Path, key: Path) -> None:
    record(checked(place), str(place))
    signers = key.with_name("signers")
    signers.write_text(f"ada {key.with_suffix('.pub').read_text()}")
    assert any("record" in words and "nobody has signed it" in words for words in checked(place, signers=signers).failures)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda levels: levels.update({"re-scored": [0, 99]}), "which has"),
        (lambda levels: levels.update({"re-run": levels["re-scored"]}), "at two levels"),
        (lambda levels: levels.update({"re-scored": [True]}), "no places of rows"),
        (lambda levels: levels.update({"proven": [0]}), "no record of a verification"),
        (lambda levels: levels.update({"failed": "none"}), "no places of rows"),
    ],
)
def test_a_record_that_says_what_cannot_be_is_refused_and_counts_for_nothing(place: Path, change: Any, words: str) -> None:
    record(checked(place), str(place))
    rewritten(place, lambda document: change(document["runs"][run_of(place)]))
    assert "No verification is recorded here." in front(place)
    assert "refused:" in front(place)
    assert any(words in fault for fault in checked(place).failures)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(time="2999-01-01T00:00:00+00:00"), "still to come"),
        (lambda d: d.update(time=7), "its time is 7"),
        (lambda d: d.update(runs={"a" * 32: {"re-scored": [], "re-run": [], "failed": []}}), "not published here"),
        (lambda d: d.update(format=2), "has format 2"),
        (lambda d: d.update(runs=[]), "has format 1"),
    ],
)
def test_a_record_of_another_time_form_or_run_is_refused(place: Path, change: Any, words: str) -> None:
    record(checked(place), str(place))
    rewritten(place, change)
    assert "No verification is recorded here." in front(place)
    assert any(words in fault for fault in checked(place).failures)


def test_a_record_that_is_changed_where_it_lies_is_found_by_its_name(place: Path) -> None:
    record(checked(place), str(place))
    rewritten(place, lambda document: document["runs"][run_of(place)].update({"re-scored": [0]}), renamed=False)
    assert "No verification is recorded here." in front(place)
    assert any("no longer its digest" in fault for fault in checked(place).failures)


def test_a_record_is_compared_row_by_row_and_what_was_not_checked_is_counted() -> None:
    made = Record("x", datetime.now(UTC), {"r": {"re-scored": frozenset({0, 1}), "re-run": frozenset({2}), "failed": frozenset()}})
    told = list(compared(made, {"r": [("claimed", True), ("claimed", False), ("re-run", False), ("claimed", True)]}))
    assert [fault for fault, _ in told] == [True, False]
    assert "says that row 0 of run r was verified; it does not agree here" in told[0][1]
    assert "of 2 rows that it calls verified 1 agree here, 1 were not checked: give their data with --source" in told[1][1]
    assert "again there" not in told[1][1]


def test_of_a_forged_row_the_record_fails_with_it(place: Path) -> None:
    run = forged(place, lambda files: edited(files, only("recency", roc_auc=0.99)))
    found = checked(place)
    (at,) = [at for at, line in enumerate(found.lines) if line.wrong and line.row["model"] == "recency"]
    record(Checked([replace(line, level="re-scored", wrong=False) for line in found.lines]), str(place))
    assert "scored rows scored again" in front(place)
    assert any(f"says that row {at} of run {run} was verified; it does not agree here" in words for words in checked(place).failures)


def test_nothing_is_recorded_of_a_place_whose_files_were_changed(place: Path) -> None:
    (place / "index.html").write_text("all is well")
    with pytest.raises(PlaceError, match=r"nothing is recorded: index\.html"):
        record(checked(place), str(place))
    assert not (place / "verifications").exists()


def test_a_place_without_pages_gets_the_record_alone(place: Path) -> None:
    for name in ("index.html", "glossary.html", "board.parquet", "board.json"):
        (place / name).unlink()
    for name in ("site", "assets"):
        shutil.rmtree(place / name)
    name = record(checked(place), str(place))
    assert {path.name for path in place.iterdir()} == {"runs", "commits", "verifications"}
    assert (place / "verifications" / f"{name}.json").is_file()


def test_a_key_without_a_record_is_a_mistake(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --record too"):
        verify_command(str(place), [], [], rerun=0, signers=None, as_json=False, keep=(False, tmp_path / "key"))


def test_a_row_that_was_corrected_is_compared_with_the_corrected_prediction() -> None:
    board: Any = SimpleNamespace(task=Churn())
    again = [{"prediction": np.array([0.2, 0.5, 0.9])}]
    (same,) = _corrected(again, {"calibration": None}, board)
    assert same["prediction"].tolist() == [0.2, 0.5, 0.9]
    (moved,) = _corrected(again, {"calibration": '{"slope": 1.0, "intercept": 0.5}'}, board)
    assert moved["prediction"] == pytest.approx(1 / (1 + np.exp(-(np.log([0.25, 1.0, 9.0]) + 0.5))))
    for text in ("{", "[1, 2]", '{"slope": "much"}', '{"slope": 1}'):
        with pytest.raises(PlaceError, match="corrects nothing"):
            _corrected(again, {"calibration": text}, board)
