"""Sign commits with an SSH key, and name who signed: `ssh-keygen` does both, so that no secret passes through here."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.errors import ConfigError
from bench.publish.signers import Signers
from bench.publish.store import PlaceError

SPACE = "bench"
"""What a signature is for: one made for anything else does not count."""
MOST = 1 << 16
KEY = re.compile(r"with (\S+) key (SHA256:[A-Za-z0-9+/]+)")
SECONDS = 60


def sign(content: bytes, key: Path) -> bytes:
    """Sign with a private key, or a public one whose private half an agent holds; raise `ConfigError`."""
    if not key.expanduser().is_file():
        raise ConfigError(f"--sign {key}: no such file; give an SSH key, such as ~/.ssh/id_ed25519")
    done = _run(["-Y", "sign", "-n", SPACE, "-f", str(key.expanduser())], content)
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise ConfigError(f"--sign {key}: not signed ({_words(done)}); add the key to an agent where it has a passphrase")
    return done.stdout


def signer(content: bytes, signature: bytes, signers: Signers | None, what: str) -> str:
    """Name who signed: by the list of allowed signers, or, without one, by the key; raise `PlaceError` where nobody did."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "signature"
        file.write_bytes(signature)
        valid = _run(["-Y", "check-novalidate", "-n", SPACE, "-s", str(file)], content)
        found = KEY.search(valid.stdout.decode(errors="replace"))
        if valid.returncode or found is None:
            raise PlaceError(f"{what}: no signature of this commit ({_words(valid)})")
        name = f"{found[1]} {found[2]}"
        if signers is None:
            return f"key {name}"
        allowed = Path(folder) / "signers"
        allowed.write_bytes(signers.ssh)
        known = _run(["-Y", "find-principals", "-s", str(file), "-f", str(allowed)], b"")
        who = known.stdout.decode(errors="replace").splitlines()[:1]
        if known.returncode or not who:
            raise PlaceError(f"{what}: signed with {name}, which is not among the signers in {signers.file}")
        verified = _run(["-Y", "verify", "-n", SPACE, "-I", who[0], "-s", str(file), "-f", str(allowed)], content)
        if verified.returncode:
            raise PlaceError(f"{what}: {who[0][:80]} may not sign this ({_words(verified)})")
        return f"{who[0][:80]} ({name})"


def claimed_key(signature: bytes) -> str:
    """Name the key that a signature says it is of (PROTOCOL.sshsig); it is not checked here. Empty: it is no signature."""
    lines = signature.decode("ascii", errors="replace").split("\n")
    try:
        blob = base64.b64decode("".join(line.strip() for line in lines if "-----" not in line), validate=True)
    except ValueError:
        return ""
    if not blob.startswith(b"SSHSIG") or len(blob) < 14:
        return ""
    key = blob[14 : 14 + int.from_bytes(blob[10:14], "big")]
    return f"SHA256:{base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip('=')}"


def _run(words: list[str], content: bytes) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ConfigError("signatures need ssh-keygen, which is not installed here; install OpenSSH")
    try:
        return subprocess.run([program, *words], input=content, capture_output=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"ssh-keygen did not answer ({' '.join(str(error).split())[:200]})") from None


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr or done.stdout).decode(errors="replace").split("\n")
    return next((" ".join(line.split())[:200] for line in lines if line.strip()), f"exit code {done.returncode}")
