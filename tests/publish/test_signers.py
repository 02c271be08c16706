"""Who may sign, and what holds of signatures where the library of one kind is not installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from publish.kit import run_of, tree

from bench.cli import invoke
from bench.errors import ConfigError
from bench.publish import signatures, sigstore_bundles
from bench.publish.publish import rebuild
from bench.publish.signers import read_signers
from bench.publish.store import open_store
from bench.publish.verify import verify
from bench.registry import discover

BUNDLE = {"verificationMaterial": {"tlogEntries": [{"logIndex": "1234"}]}}


@pytest.fixture
def without_sigstore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", None)


def bundled(place: Path) -> Path:
    """Put down what may be a bundle for the place's one run."""
    file = place / "signatures" / f"{run_of(place)}.sigstore.json"
    file.parent.mkdir()
    file.write_text(json.dumps(BUNDLE))
    return file


def test_lines_of_sigstore_and_of_ssh_stand_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "signers"
    ssh = b'# people\nada ssh-ed25519 AAAA\n\n*@example.org namespaces="bench" ssh-ed25519 AAAA\nsigstores ssh-ed25519 AAAA\n'
    workflow = "https://github.com/ada/runs/.github/workflows/every week.yml@refs/heads/main"
    file.write_bytes(ssh + f"  sigstore ada@example.org https://a.example\r\nsigstore {workflow} https://b.example".encode())
    found = read_signers(file)
    assert found.ssh == ssh
    assert found.sigstore == (("ada@example.org", "https://a.example"), (workflow, "https://b.example"))


@pytest.mark.parametrize(
    "line", ["sigstore", "sigstore ada@example.org", "sigstore https://a.example", "sigstore a b", "sigstore ssh-ed25519 AAAA"]
)
def test_a_line_of_sigstore_without_an_issuer_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "signers").write_text(f"# people\n{line}\n")
    with pytest.raises(ConfigError, match="line 2: expected sigstore IDENTITY ISSUER"):
        read_signers(tmp_path / "signers")


def test_a_list_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--signers"):
        read_signers(tmp_path)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_an_ssh_signer_is_found_among_lines_of_sigstore(place: Path, tmp_path: Path) -> None:
    key, file = tmp_path / "key", tmp_path / "signers"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signing = signatures.opened(key)
    (place / "signatures").mkdir()
    run, store = run_of(place), open_store(str(place))
    (place / "signatures" / f"{run}{signing.suffix}").write_bytes(signing.sign((place / "commits" / f"{run}.json").read_bytes()))
    line = "sigstore eve@example.org https://a.example\n"
    file.write_text(f"{line}ada@example.org {key.with_suffix('.pub').read_text()}{line}")
    (note,), faults = signatures.check(store, signatures.there(store), f"commits/{run}.json", read_signers(file), "run")
    assert note.startswith("run: signed by ada@example.org (ED25519 SHA256:")
    assert faults == []
    file.write_text(line)
    notes, (fault,) = signatures.check(store, signatures.there(store), f"commits/{run}.json", read_signers(file), "run")
    assert notes == []
    assert fault.endswith(f"which is not among the signers in {file}")


@pytest.mark.usefixtures("without_sigstore")
def test_who_signs_without_the_library_is_told_what_to_install(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["publish", str(made), "--to", str(tmp_path / "place"), "--sign", "sigstore"]) == 2
    err = capsys.readouterr().err
    assert "--sign sigstore: needs sigstore, which is not installed here: pip install 'seqbench[sigstore]'" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "place").exists()


@pytest.mark.usefixtures("without_sigstore")
def test_who_checks_without_the_library_is_told_what_to_install(place: Path) -> None:
    bundled(place)
    with pytest.raises(
        ConfigError, match=r"sigstore.json: needs sigstore, which is not installed here: pip install 'seqbench\[sigstore\]'"
    ):
        verify(str(place), discover())


def test_a_file_that_is_called_sigstore_is_a_key(tmp_path: Path) -> None:
    for key in ("./sigstore", tmp_path / "sigstore"):
        assert signatures.opened(key).suffix == ".sig"


@pytest.mark.usefixtures("without_sigstore")
def test_pages_are_the_same_where_the_library_is_not_installed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled(place)
    rebuild(str(place))
    before = tree(place)
    assert b"1 of 1 runs signed" in before["index.html"]
    monkeypatch.undo()
    rebuild(str(place))
    assert tree(place) == before


def test_the_log_entry_that_a_bundle_claims_is_a_number_or_nothing() -> None:
    assert sigstore_bundles.claimed_entry(json.dumps(BUNDLE).encode()) == "sigstore, log entry 1234"
    for entry in (1234, "", "-1", "<b>", "9" * 20, "\u0661", None, ["1"]):
        document = {"verificationMaterial": {"tlogEntries": [{"logIndex": entry}]}}
        assert sigstore_bundles.claimed_entry(json.dumps(document).encode()) == ""
    for content in (b"", b"[]", b"{}", b'{"verificationMaterial": []}', b'{"verificationMaterial": {"tlogEntries": []}}', b"[" * 60_000):
        assert sigstore_bundles.claimed_entry(content) == ""
