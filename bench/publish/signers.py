"""Read who may sign: OpenSSH's list of allowed signers, which may have lines for Sigstore besides.

A line `sigstore IDENTITY ISSUER` allows an identity: an e-mail address or the URI of a workflow, as its certificate names it,
and the URL of the provider that vouched for it. All other lines are `ssh-keygen`'s (see there, ALLOWED SIGNERS).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.errors import ConfigError
from bench.publish.store import reason_of

WORD = "sigstore"


@dataclass(frozen=True)
class Signers:
    """Who may sign."""

    file: Path
    ssh: bytes
    """The lines that `ssh-keygen` reads."""
    sigstore: tuple[tuple[str, str], ...]
    """(identity, issuer)."""


def read_signers(file: Path) -> Signers:
    """Read a list of signers; raise `ConfigError`."""
    try:
        lines = file.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ConfigError(f"--signers {file}: {reason_of(error)}") from None
    ssh: list[bytes] = []
    identities: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if line.split()[:1] == [WORD.encode()]:
            identities.append(_identity(line, f"--signers {file}: line {number}"))
        else:
            ssh.append(line)
    return Signers(file, b"".join(ssh), tuple(identities))


def _identity(line: bytes, what: str) -> tuple[str, str]:
    """Read IDENTITY and ISSUER; the former may have blanks, as the path of a workflow may."""
    words = line.decode(errors="replace").split()
    if len(words) < 3 or not words[-1].startswith(("https://", "http://")):
        raise ConfigError(f"{what}: expected sigstore IDENTITY ISSUER, as sigstore ada@example.org https://accounts.google.com")
    return " ".join(words[1:-1]), words[-1]
