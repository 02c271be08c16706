"""Signatures by Sigstore, signed and checked by its own library against an instance on this machine."""

import base64
import copy
import gc
import json
import random
import shutil
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sigstore", reason="the extra sigstore is not installed")

import sigstore.models
import sigstore.oidc
import sigstore.sign
from publish.kit import run_of
from publish.sigstore_instance import Instance, serving

from bench.cli import invoke
from bench.errors import ConfigError
from bench.publish import bounded, signatures, sigstore_bundles
from bench.publish.signers import Signers, read_signers
from bench.publish.store import PlaceError, open_store
from bench.publish.verify import verify
from bench.registry import discover

ADA = "ada@example.org"
CONTENT = b"what is signed"
Document = dict[str, Any]


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """Run an instance, and be Ada there; whatever this machine's own identity is, it is not asked."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with serving() as made:
        configure(made, tmp_path, monkeypatch)
        monkeypatch.setenv(sigstore_bundles.TOKEN, made.token(ADA))
        yield made


def configure(made: Instance, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / f"instance-{made.url.rpartition(':')[2]}.json"
    file.write_text(made.config())
    monkeypatch.setenv(sigstore_bundles.CONFIG, str(file))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what cuts this process off from every other."""

    def refuse(*_: object) -> None:
        raise AssertionError("a check went to the network")

    def cut() -> None:
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)

    return cut


@pytest.fixture
def bundle(instance: Instance) -> bytes:  # noqa: ARG001 - it is where the bundle comes from
    return sigstore_bundles.opened()(CONTENT)


def allowing(tmp_path: Path, name: str = ADA, issuer: str = "https://accounts.example.org") -> Path:
    file = tmp_path / "signers"
    file.write_text(f"# who may sign\nsigstore {name} {issuer}\n")
    return file


def checked(place: Path, signers: Path | None = None) -> tuple[list[str], list[str]]:
    """Check the signatures of a place's one run: who signed, what is wrong."""
    store, run = open_store(str(place)), run_of(place)
    allowed = read_signers(signers) if signers else None
    return signatures.check(store, signatures.there(store), f"commits/{run}.json", allowed, f"run {run}")


def signature(place: Path) -> Path:
    return place / "signatures" / f"{run_of(place)}.sigstore.json"


@pytest.fixture
def signed(instance: Instance, place: Path) -> Path:  # noqa: ARG001 - it is where the bundle comes from
    """Give a place whose run is signed."""
    signature(place).parent.mkdir()
    signature(place).write_bytes(sigstore_bundles.opened()((place / "commits" / f"{run_of(place)}.json").read_bytes()))
    return place


def faulty(bundle: bytes, content: bytes = CONTENT) -> str:
    """Return why a bundle is refused; anything but one line fails."""
    with pytest.raises(PlaceError) as caught:
        sigstore_bundles.signer(content, bundle, None, "x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_signed_run_names_its_signer_without_network(
    made: Path, instance: Instance, tmp_path: Path, offline: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "place"
    assert invoke(["publish", str(made), "--to", str(place), "--sign", "sigstore"]) == 0
    assert signature(place).is_file()
    assert "1 of 1 runs signed" in (place / "index.html").read_text()
    assert instance.issued == 1
    offline()
    capsys.readouterr()
    assert invoke(["verify", str(place), "--signers", str(allowing(tmp_path))]) == 0
    assert f"signed by {ADA} (sigstore, https://accounts.example.org)" in capsys.readouterr().out
    assert checked(place) == ([f"run {run_of(place)}: signed by {ADA} (sigstore, https://accounts.example.org)"], [])


def test_who_is_not_listed_or_vouched_for_by_another_fails(
    instance: Instance, signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(signed, allowing(tmp_path))[1] == []
    wrong = f"signed by {ADA} (sigstore, https://accounts.example.org), who is not among the signers in {tmp_path / 'signers'}"
    for name, issuer in (("eve@example.org", instance.issuer), (ADA, "https://accounts.example.com"), (f"{ADA}.", instance.issuer)):
        notes, (fault,) = checked(signed, allowing(tmp_path, name, issuer))
        assert notes == []
        assert fault.endswith(wrong)
    assert invoke(["verify", str(signed), "--signers", str(tmp_path / "signers")]) == 3
    assert wrong in capsys.readouterr().out
    (tmp_path / "signers").write_text("")
    assert checked(signed, tmp_path / "signers")[1][0].endswith(wrong)
    signature(signed).unlink()
    assert checked(signed, tmp_path / "signers") == ([], [f"run {run_of(signed)}: nobody has signed it"])
    assert checked(signed) == ([], [])


def test_a_changed_commit_or_a_bundle_of_another_file_fails(signed: Path, bundle: bytes) -> None:
    wrong = f"signatures/{run_of(signed)}.sigstore.json: no signature of this commit (Bundle message digest mismatch)"
    commit = signed / "commits" / f"{run_of(signed)}.json"
    original = commit.read_bytes()
    commit.write_bytes(original + b" ")
    assert checked(signed) == ([], [wrong])
    commit.write_bytes(original)
    assert checked(signed)[1] == []
    signature(signed).write_bytes(bundle)
    assert checked(signed) == ([], [wrong])


def test_of_two_signatures_each_has_to_hold(signed: Path, tmp_path: Path) -> None:
    other = signature(signed).with_name(f"{run_of(signed)}.sig")
    other.write_text("no signature")
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    (note,), (fault,) = checked(signed, allowing(tmp_path))
    assert f"signed by {ADA}" in note
    assert f"{other.name}: no signature of this commit" in fault


def test_a_record_is_signed_and_the_page_names_its_log_entry(instance: Instance, place: Path) -> None:
    assert invoke(["verify", str(place), "--record", "--sign", "sigstore"]) == 0
    (record,) = (place / "verifications").iterdir()
    assert (place / "signatures" / f"{record.stem}.sigstore.json").is_file()
    page = (place / "index.html").read_text()
    assert f"signed with sigstore, log entry {len(instance.leaves) - 1}" in page
    found = verify(str(place), discover())
    assert found.failures == []
    assert any(words.startswith(f"record {record.stem}: signed by {ADA}") for words in found.notes)


def changed(bundle: bytes, change: Callable[[Document], object]) -> bytes:
    document = json.loads(bundle)
    change(document)
    return json.dumps(document).encode()


def entry(document: Document) -> Document:
    found: Document = document["verificationMaterial"]["tlogEntries"][0]
    return found


def flip(document: Document, name: str) -> None:
    """Change one bit within something that is written in base64."""
    content = bytearray(base64.b64decode(document[name]))
    content[-1] ^= 1
    document[name] = base64.b64encode(content).decode()


CHANGES: dict[str, Callable[[Document], object]] = {
    "certificate": lambda d: flip(d["verificationMaterial"]["certificate"], "rawBytes"),
    "signature": lambda d: flip(d["messageSignature"], "signature"),
    "no signature": lambda d: d.pop("messageSignature"),
    "time": lambda d: entry(d).update(integratedTime=str(int(entry(d)["integratedTime"]) - 1)),
    "signed time": lambda d: flip(entry(d)["inclusionPromise"], "signedEntryTimestamp"),
    "no time": lambda d: entry(d).pop("inclusionPromise"),
    "far time": lambda d: entry(d).update(integratedTime="9" * 18),
    "root": lambda d: flip(entry(d)["inclusionProof"], "rootHash"),
    "path": lambda d: entry(d)["inclusionProof"]["hashes"].pop(),
    "place": lambda d: entry(d)["inclusionProof"].update(logIndex="0"),
    "size": lambda d: entry(d)["inclusionProof"].update(treeSize="0"),
    "checkpoint": lambda d: entry(d)["inclusionProof"]["checkpoint"].update(envelope="instance\n1\n\n\n— x y\n"),
    "no proof": lambda d: entry(d).pop("inclusionProof"),
    "body": lambda d: flip(entry(d), "canonicalizedBody"),
    "kind": lambda d: entry(d)["kindVersion"].update(kind="dsse"),
    "two entries": lambda d: d["verificationMaterial"]["tlogEntries"].append(copy.deepcopy(entry(d))),
    "form": lambda d: d.update(mediaType="application/json"),
    "nothing": lambda d: d.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_bundle_that_was_changed_anywhere_is_refused(bundle: bytes, change: str) -> None:
    assert "x: no signature of this commit" in faulty(changed(bundle, CHANGES[change]))


def test_what_is_no_bundle_is_refused(bundle: bytes) -> None:
    for content in (b"", b"{", b"[]", b"null", bundle[:-1], b"[" * 60_000, b'{"a":' * 10_000, b"\xff" * 100):
        assert "x: " in faulty(content)
    # two bundles of one instance: the certificate of one, all else of the other
    other = sigstore_bundles.opened()(CONTENT)
    mixed = changed(
        bundle, lambda d: d["verificationMaterial"].update(certificate=json.loads(other)["verificationMaterial"]["certificate"])
    )
    assert "no signature of this commit (Signature is invalid for input)" in faulty(mixed)


def test_bytes_that_are_changed_at_random_never_end_as_a_traceback_or_another_name(bundle: bytes) -> None:
    draw = random.Random(7)
    refused = 0
    for _ in range(300):
        content = bytearray(bundle)
        for _ in range(draw.choice((1, 1, 3))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            assert sigstore_bundles.signer(CONTENT, bytes(content), None, "x").startswith(f"{ADA} (")
        except PlaceError:
            refused += 1
    assert refused > 200


def test_a_bundle_that_is_larger_than_any_is_not_read(signed: Path) -> None:
    signature(signed).write_bytes(signature(signed).read_bytes() + b" " * bounded.MOST_BUNDLE)
    _, (fault,) = checked(signed)
    assert f"larger than {bounded.MOST_BUNDLE:,} bytes, which is refused" in fault


def test_another_instance_knows_nothing_of_a_bundle_nor_does_the_public_one(
    bundle: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as other:
        configure(other, tmp_path, monkeypatch)
        assert "no signature of this commit" in faulty(bundle)
    offline()
    monkeypatch.delenv(sigstore_bundles.CONFIG)
    assert "no signature of this commit" in faulty(bundle)
    assert capsys.readouterr().err == ""
    assert (tmp_path / "cache").is_dir()


def test_each_key_of_an_instance_is_checked(instance: Instance, bundle: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as other:
        for name, words in (("authority", "chain"), ("certificates", "SCT"), ("log", "log entry")):
            mixed = Instance(**{**vars(instance), name: getattr(other, name)})
            configure(mixed, tmp_path, monkeypatch)
            assert words in faulty(bundle)


def test_an_entry_that_came_after_the_certificate_had_expired_is_refused(instance: Instance) -> None:
    instance.late = timedelta(hours=1)
    config = sigstore.models.ClientTrustConfig.from_json(instance.config())
    token = sigstore.oidc.IdentityToken(instance.token())
    with sigstore.sign.SigningContext.from_trust_config(config).signer(token) as signer:
        late = signer.sign_artifact(CONTENT).to_json().encode()
    assert "failed to build timestamp certificate chain" in faulty(late)
    # nor is such a bundle ever published
    with pytest.raises(ConfigError, match=r"--sign sigstore: not signed .*chain"):
        sigstore_bundles.opened()(CONTENT)


def test_a_bundle_counts_when_its_certificate_has_long_expired(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(days=30)

    monkeypatch.setattr("sigstore.sign.datetime", Then)
    instance.ago = timedelta(days=30)
    signed = sigstore_bundles.opened()(CONTENT)
    assert sigstore_bundles.signer(CONTENT, signed, None, "x").startswith(ADA)


def test_an_upload_that_takes_longer_than_a_certificate_gets_another(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    sign = sigstore_bundles.opened()
    monkeypatch.setattr(sigstore_bundles, "FRESH", 0.0)
    assert sigstore_bundles.signer(CONTENT, sign(CONTENT), None, "x").startswith(ADA)
    assert instance.issued == 2


def test_a_job_signs_as_its_workflow(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sigstore_bundles.TOKEN)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(ConfigError, match="insufficient OIDC token permissions"):
        sigstore_bundles.opened()
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "a-job")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{instance.url}/job")
    workflow = "https://github.com/ada/runs/.github/workflows/weekly.yml@refs/heads/main"
    allowed = Signers(Path("f"), b"", ((workflow, instance.issuer),))
    signed = sigstore_bundles.opened()(CONTENT)
    assert sigstore_bundles.signer(CONTENT, signed, allowed, "x") == f"{workflow} (sigstore, {instance.issuer})"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library leaves the socket that it listened on
@pytest.mark.usefixtures("instance")
def test_whoever_sits_at_a_terminal_signs_in_with_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sigstore_bundles.TOKEN)
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    browsers: list[threading.Thread] = []

    def browse(address: str) -> bool:
        def follow() -> None:
            with urllib.request.urlopen(address, timeout=30) as page:
                page.read()

        browsers.append(threading.Thread(target=follow))
        browsers[0].start()
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    signed = sigstore_bundles.opened()(CONTENT)
    browsers[0].join()
    gc.collect()
    assert sigstore_bundles.signer(CONTENT, signed, None, "x").startswith("browser@example.org (")


def test_who_has_no_identity_or_a_wrong_one_is_told_before_anything_is_sent(
    made: Path, instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["publish", str(made), "--to", str(tmp_path / "place"), "--sign", "sigstore"]

    def told() -> str:
        assert invoke(command) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert not (tmp_path / "place").exists()
        return err

    instance.fails = "/api/v2/signingCert"
    assert "--sign sigstore: not signed (403 Client Error" in told()
    instance.fails = ""
    late = instance.token(exp=1)
    monkeypatch.setenv(sigstore_bundles.TOKEN, late)
    assert late not in (words := told())
    assert "Identity token is malformed or missing claims" in words
    monkeypatch.delenv(sigstore_bundles.TOKEN)
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert "no identity: SIGSTORE_IDENTITY_TOKEN is not set" in told()
    monkeypatch.setenv(sigstore_bundles.CONFIG, str(tmp_path / "none.json"))
    assert f"BENCH_SIGSTORE_CONFIG={tmp_path / 'none.json'}: not readable as a client trust configuration (No such file" in told()


def test_a_log_that_refuses_is_told_in_one_line(instance: Instance) -> None:
    sign = sigstore_bundles.opened()
    instance.fails = "/api/v1/log"
    with pytest.raises(ConfigError, match=r"--sign sigstore: not signed .*403"):
        sign(CONTENT)


def test_a_trust_configuration_that_is_none_stops_a_check(bundle: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"mediaType": 1}')
    monkeypatch.setenv(sigstore_bundles.CONFIG, str(tmp_path / "config.json"))
    with pytest.raises(ConfigError, match=r"BENCH_SIGSTORE_CONFIG=.*config\.json: not readable as a client trust configuration"):
        sigstore_bundles.signer(CONTENT, bundle, None, "x")
