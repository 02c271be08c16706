"""Sign with Sigstore, and name who signed: an identity provider vouches for the signer, a certificate and a log keep it.

Nothing but the library's public interface is used: a chain of certificates, two logs and a time are checked together, and each
is easily checked wrongly. Signing needs the services of an instance; checking needs its trust root alone, and no network.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import ConfigError
from bench.publish import untrusted
from bench.publish.signers import Signers
from bench.publish.store import PlaceError, reason_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityToken
    from sigstore.sign import Signer

TOKEN = "SIGSTORE_IDENTITY_TOKEN"  # noqa: S105 - the name of a variable, the one that the library's own command reads
CONFIG = "BENCH_SIGSTORE_CONFIG"
"""Variable that names the client trust configuration of another instance than the public one."""
FRESH = 300.0
"""Seconds for which a certificate is used: the public instance's are valid for ten minutes, and an upload may take longer."""
ISSUER = "1.3.6.1.4.1.57264.1.1"
"""Extension of a certificate that names the identity provider (Fulcio's oid-info)."""


class Anyone:
    """Accept the identity of any certificate: it is compared once everything else of the bundle holds."""

    def verify(self, cert: Certificate) -> None:
        """Accept."""


def opened() -> Callable[[bytes], bytes]:
    """Obtain an identity and a certificate, and return what signs with them: content -> bundle; raise `ConfigError`."""
    _require("--sign sigstore")
    with _one_line():
        config = _instance(offline=False)
        held, since = _certified(config), time.monotonic()

    def sign(content: bytes) -> bytes:
        from sigstore.verify import Verifier

        with _one_line():
            signer = held if time.monotonic() - since < FRESH else _certified(config)
            bundle = signer.sign_artifact(content)
            # what a reader would refuse is never published: the library lets a time stamp be missing
            Verifier(trusted_root=config.trusted_root).verify_artifact(content, bundle, Anyone())
            return bundle.to_json().encode()

    return sign


def signer(content: bytes, bundle: bytes, allowed: Signers | None, what: str) -> str:
    """Name who signed, which has to be one of those allowed where they are given; raise `PlaceError` where nobody did.

    Raises `ConfigError` where the library is not installed, or the trust configuration is none.
    """
    _require(what)
    from sigstore.errors import VerificationError
    from sigstore.models import Bundle
    from sigstore.verify import Verifier, policy

    with _config_errors("sigstore: nothing can be checked against its trust root"):
        verifier = Verifier(trusted_root=_instance(offline=True).trusted_root)
    untrusted.document(bundle, what)
    try:
        read = Bundle.from_json(bundle)
        verifier.verify_artifact(content, read, Anyone())
        name, issuer = _identity(read.signing_certificate)
    except Exception as error:  # noqa: BLE001 - of a stranger's bundle the library raises whatever its parsers do
        raise PlaceError(f"{what}: no signature of this commit ({_words(error)})") from None
    shown = f"{name[:200]} (sigstore, {issuer[:200]})"
    if allowed is None:
        return shown
    try:
        policy.AnyOf([policy.Identity(identity=who, issuer=of) for who, of in allowed.sigstore]).verify(read.signing_certificate)
    except VerificationError:
        raise PlaceError(f"{what}: signed by {shown}, who is not among the signers in {allowed.file}") from None
    return shown


def claimed_entry(bundle: bytes) -> str:
    """Name the log entry that a bundle says it has, without the library; nothing is checked here. Empty: it is no bundle."""
    try:
        entry = untrusted.document(bundle, "bundle")["verificationMaterial"]["tlogEntries"][0]["logIndex"]
    except (PlaceError, LookupError, TypeError):
        return ""
    return f"sigstore, log entry {entry}" if isinstance(entry, str) and entry.isascii() and entry.isdigit() and len(entry) < 20 else ""


def _require(what: str) -> None:
    if importlib.util.find_spec("sigstore") is None:
        raise ConfigError(f"{what}: needs sigstore, which is not installed here: pip install 'seqbench[sigstore]'")


def _certified(config: ClientTrustConfig) -> Signer:
    """Ask the instance for a certificate of the identity: it is in the certificates' log when it comes back."""
    from sigstore.sign import Signer, SigningContext

    return Signer(_token(config), SigningContext.from_trust_config(config))


def _token(config: ClientTrustConfig) -> IdentityToken:
    """Take the identity that was given, else the one that a CI job has, else ask whoever sits there."""
    from sigstore.oidc import IdentityToken, Issuer, detect_credential

    given = os.environ.get(TOKEN) or detect_credential()
    if given:
        return IdentityToken(given)
    if not sys.stdin.isatty():
        raise ConfigError(
            f"--sign sigstore: no identity: {TOKEN} is not set, no CI job offers one, and nobody is at a terminal to sign in; "
            "a GitHub workflow needs the permission id-token: write"
        )
    return Issuer(config.signing_config.get_oidc_url()).identity_token()


def _instance(*, offline: bool) -> ClientTrustConfig:
    """Read the configured instance, else the public one; offline from what the library ships or has fetched before."""
    from sigstore.models import ClientTrustConfig

    if file := os.environ.get(CONFIG):
        with _config_errors(f"{CONFIG}={file}: not readable as a client trust configuration"):
            return ClientTrustConfig.from_json(Path(file).read_text("utf-8"))
    log = logging.getLogger("sigstore")
    before = log.level
    # it warns that it is offline, which is what was asked for
    log.setLevel(logging.ERROR)
    try:
        return ClientTrustConfig.production(offline=offline)
    finally:
        log.setLevel(before)


def _identity(certificate: Certificate) -> tuple[str, str]:
    """Read who a certificate is of, and which provider vouched for that."""
    from cryptography.x509 import ObjectIdentifier, RFC822Name, SubjectAlternativeName, UniformResourceIdentifier, UnrecognizedExtension

    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    found = [*names.get_values_for_type(RFC822Name), *names.get_values_for_type(UniformResourceIdentifier)]
    issuer = certificate.extensions.get_extension_for_oid(ObjectIdentifier(ISSUER)).value
    if len(found) != 1 or not isinstance(issuer, UnrecognizedExtension):
        raise ValueError("its certificate names no identity")
    return str(found[0]), issuer.value.decode()


@contextmanager
def _one_line() -> Iterator[None]:
    with _config_errors("--sign sigstore: not signed"):
        yield


@contextmanager
def _config_errors(what: str) -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - each service's client has errors of its own
        raise ConfigError(f"{what} ({_words(error)})") from None


def _words(error: BaseException) -> str:
    """Describe an error, by its cause where it says nothing itself."""
    while not str(error) and error.__cause__ is not None:
        error = error.__cause__
    return reason_of(error)[:200]
