"""A small Sigstore instance on this machine: certificate authority, certificate log, transparency log, identity provider.

What it answers is what the services answer: certificates as Fulcio's (RFC 5280, an SCT of RFC 6962 within), log entries as
Rekor's first version (an inclusion proof of RFC 6962, a signed checkpoint, a signed time of entry), tokens as OpenID Connect's.
So the client library signs and verifies against it as it does against the public one, whose trust root it does not know.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
SCT_OID = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
ECDSA = ec.ECDSA(hashes.SHA256())
Words = dict[str, list[str]]


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\0" + leaf).digest()


def tree(leaves: list[bytes]) -> bytes:
    """Hash a Merkle tree (RFC 6962, 2.1)."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree(leaves[:k]) + tree(leaves[k:])).digest()


def path(at: int, leaves: list[bytes]) -> list[bytes]:
    """Prove that a leaf is in the tree (RFC 6962, 2.1.1)."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if at < k:
        return [*path(at, leaves[:k]), tree(leaves[k:])]
    return [*path(at - k, leaves[k:]), tree(leaves[:k])]


@dataclass
class Instance:
    """Keys and logs of one instance; `issued` counts its certificates."""

    url: str = ""
    issuer: str = "https://accounts.example.org"
    lasts: timedelta = timedelta(minutes=10)
    """How long its certificates are valid."""
    late: timedelta = timedelta(0)
    """How long after the certificate was made the log says that an entry came."""
    ago: timedelta = timedelta(0)
    """How far its clocks are behind."""
    issued: int = 0
    fails: str = ""
    """Path that answers with an error."""
    authority: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    certificates: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    log: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    leaves: list[bytes] = field(default_factory=lambda: [b"an older entry", b"another", b"a third"])
    asked: dict[str, Words] = field(default_factory=dict)
    """Codes of the identity provider -> what was asked for."""

    def token(self, name: str = "ada@example.org", **claims: Any) -> str:
        now = int(time.time())
        about = {"iss": self.issuer, "sub": name, "aud": "sigstore", "iat": now, "exp": now + 300}
        return jwt.encode({**about, **claims}, "a secret of thirty-two bytes, long", "HS256")

    def root(self) -> x509.Certificate:
        """Make the authority's own certificate."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "instance")])
        start = datetime(2026, 1, 1, tzinfo=UTC)
        made = x509.CertificateBuilder(name, name, self.authority.public_key(), 1, start, start + timedelta(days=36500))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made = made.add_extension(usage(sign=False), critical=True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.authority.public_key()), critical=False)
        return made.sign(self.authority, hashes.SHA256())

    def certificate(self, request: x509.CertificateSigningRequest, name: str, issuer: str) -> x509.Certificate:
        """Certify who holds a key: first as its log is shown it, then with the log's signature."""
        self.issued += 1
        start = datetime.now(UTC) - self.ago - timedelta(seconds=1)
        san = x509.RFC822Name(name) if "://" not in name else x509.UniformResourceIdentifier(name)
        made = x509.CertificateBuilder(self.root().subject, x509.Name([]), request.public_key(), uuid.uuid4().int >> 1)
        made = made.not_valid_before(start).not_valid_after(start + self.lasts)
        made = made.add_extension(usage(sign=True), critical=True)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()), critical=False)
        made = made.add_extension(x509.SubjectAlternativeName([san]), critical=True)
        made = made.add_extension(x509.UnrecognizedExtension(ISSUER_OID, issuer.encode()), critical=False)
        shown = made.sign(self.authority, hashes.SHA256()).tbs_certificate_bytes
        return made.add_extension(x509.UnrecognizedExtension(SCT_OID, self.sct(shown)), critical=False).sign(
            self.authority, hashes.SHA256()
        )

    def sct(self, tbs: bytes) -> bytes:
        """Sign that the certificates' log has a certificate (RFC 6962, 3.2 and 3.3)."""
        now = int(time.time() * 1000)
        entry = hashlib.sha256(der(self.authority)).digest() + len(tbs).to_bytes(3, "big") + tbs
        signature = self.certificates.sign(struct.pack("!BBQH", 0, 0, now, 1) + entry + b"\0\0", ECDSA)
        own = b"\0" + hashlib.sha256(der(self.certificates)).digest() + struct.pack("!QHBBH", now, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(own) + 2, len(own)) + own
        return (bytes([4, len(listed)]) if len(listed) < 128 else bytes([4, 0x81, len(listed)])) + listed

    def entry(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """Take an entry into the log, and prove that it is there."""
        body = rfc8785.dumps(proposed)
        self.leaves.append(body)
        at, size, root = len(self.leaves) - 1, len(self.leaves), tree(self.leaves)
        identity = hashlib.sha256(der(self.log)).digest()
        signed = {"body": b64(body), "integratedTime": int((datetime.now(UTC) - self.ago + self.late).timestamp()), "logID": identity.hex()}
        signed["logIndex"] = at
        note = f"instance - 1\n{size}\n{b64(root)}\n"
        checkpoint = f"{note}\n— instance {b64(identity[:4] + self.log.sign(note.encode(), ECDSA))}\n"
        hashed = [node.hex() for node in path(at, self.leaves)]
        proof = {"logIndex": at, "rootHash": root.hex(), "treeSize": size, "hashes": hashed, "checkpoint": checkpoint}
        time_of_entry = b64(self.log.sign(rfc8785.dumps(signed), ECDSA))
        return {uuid.uuid4().hex: {**signed, "verification": {"inclusionProof": proof, "signedEntryTimestamp": time_of_entry}}}

    def config(self) -> str:
        """Write the client trust configuration of this instance."""
        valid = {"start": "2026-01-01T00:00:00Z"}
        service = [{"url": self.url, "majorApiVersion": 1, "validFor": valid, "operator": "tests"}]
        any_, version = {"selector": "ANY"}, "application/vnd.dev.sigstore"

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            public = {"rawBytes": b64(der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid}
            identity = {"keyId": b64(hashlib.sha256(der(key)).digest())}
            return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": identity}

        chain = {"certificates": [{"rawBytes": b64(self.root().public_bytes(Encoding.DER))}]}
        subject = {"organization": "tests", "commonName": "instance"}
        trusted = {
            "mediaType": f"{version}.trustedroot+json;version=0.1",
            "tlogs": [log(self.log)],
            "certificateAuthorities": [{"subject": subject, "uri": self.url, "certChain": chain, "validFor": valid}],
            "ctlogs": [log(self.certificates)],
            "timestampAuthorities": [],
        }
        signing = {
            "mediaType": f"{version}.signingconfig.v0.2+json",
            **dict.fromkeys(("caUrls", "oidcUrls", "rekorTlogUrls"), service),
            "tsaUrls": [],
            "rekorTlogConfig": any_,
            "tsaConfig": any_,
        }
        return json.dumps({"mediaType": f"{version}.clienttrustconfig.v0.1+json", "trustedRoot": trusted, "signingConfig": signing})

    def answer(self, address: str, headers: Any, body: bytes) -> tuple[int, Any]:
        """Answer a request: a status, and a document or, of a redirection, where to."""
        asked = urlsplit(address)
        services = {
            "/api/v2/signingCert": self.certify,
            "/api/v1/log/entries": lambda *_: (201, self.entry(json.loads(body))),
            "/.well-known/openid-configuration": lambda *_: (
                200,
                {"authorization_endpoint": f"{self.url}/auth", "token_endpoint": f"{self.url}/token"},
            ),
            "/auth": self.redirect,
            "/token": self.sign_in,
            "/job": self.job,
        }
        if asked.path not in services or (self.fails and asked.path.startswith(self.fails)):
            return 403, {"message": "not you"}
        return services[asked.path](parse_qs(asked.query), headers, body)

    def certify(self, _: Words, headers: Any, body: bytes) -> tuple[int, Any]:
        claims = jwt.decode(headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
        request = x509.load_pem_x509_csr(base64.b64decode(json.loads(body)["certificateSigningRequest"]))
        chain = [self.certificate(request, claims["sub"], claims["iss"]), self.root()]
        texts = [one.public_bytes(Encoding.PEM).decode() for one in chain]
        return 200, {"signedCertificateEmbeddedSct": {"chain": {"certificates": texts}}}

    def redirect(self, words: Words, *_: object) -> tuple[int, Any]:
        """Take whoever comes for a user who has signed in, and send them back with a code."""
        self.asked["a-code"] = words
        return 302, f"{words['redirect_uri'][0]}?{urlencode({'code': 'a-code', 'state': words['state'][0]})}"

    def sign_in(self, _: Words, __: Any, body: bytes) -> tuple[int, Any]:
        """Give a token for a code, to whoever asked for that (RFC 7636)."""
        given = parse_qs(body.decode())
        proof = base64.urlsafe_b64encode(hashlib.sha256(given["code_verifier"][0].encode()).digest()).rstrip(b"=").decode()
        right = proof == self.asked[given["code"][0]]["code_challenge"][0]
        return (200, {"access_token": self.token("browser@example.org")}) if right else (400, {})

    def job(self, words: Words, headers: Any, _: bytes) -> tuple[int, Any]:
        """Give a workflow its token, as GitHub does."""
        if headers["Authorization"] != "bearer a-job" or words["audience"] != ["sigstore"]:
            return 403, {}
        return 200, {"value": self.token("https://github.com/ada/runs/.github/workflows/weekly.yml@refs/heads/main")}


def usage(*, sign: bool) -> x509.KeyUsage:
    """Allow a leaf's key to sign content, or an authority's to sign certificates."""
    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
    return x509.KeyUsage(digital_signature=sign, key_cert_sign=not sign, crl_sign=not sign, **dict.fromkeys(names, False))


@contextmanager
def serving() -> Iterator[Instance]:
    """Run an instance on a free port."""
    instance = Instance()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, found = instance.answer(self.path, self.headers, self.rfile.read(length))
            content = b"" if isinstance(found, str) else json.dumps(found).encode()
            self.send_response(status)
            if isinstance(found, str):
                self.send_header("Location", found)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the name that the server calls

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        instance.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield instance
        finally:
            server.shutdown()
            thread.join()
