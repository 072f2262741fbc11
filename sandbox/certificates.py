"""A small certificate authority: keys and certificates as files that are made once and kept, private keys ours alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEARS = timedelta(days=3650)
RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as files."""

    certificate: Path
    key: Path

    @property
    def expires(self) -> datetime:
        """When the certificate ends."""
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).not_valid_after_utc

    @property
    def good(self) -> bool:
        """Whether it exists and lasts long enough not to be renewed yet."""
        return self.certificate.exists() and self.expires - datetime.now(UTC) > RENEW_BEFORE


@dataclass(frozen=True)
class Authority:
    """Signs for one purpose, below one folder; what another authority signed is worth nothing to it."""

    folder: Path
    name: str

    @property
    def ca(self) -> Pair:
        """Its own certificate, made when it is first asked for."""
        pair = self._pair("ca")
        if not pair.good:
            key = _new_key()
            subject = _subject(f"{self.name} of the sandbox", ())
            builder = _builder(subject, subject, key, YEARS).add_extension(
                x509.BasicConstraints(ca=True, path_length=0), critical=True
            )
            _write(pair, builder.sign(key, hashes.SHA256()), key)
        return pair

    def server(self, name: str, hosts: Iterable[str], *, lifetime: timedelta = YEARS) -> Pair:
        """Return a pair for a server, good for these host names and addresses; it may also be shown as a client's."""
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._signed(f"servers/{name}", _subject(name, ()), lifetime, names, x509.ExtendedKeyUsage(usages))

    def client(self, name: str, common_name: str, groups: Iterable[str] = ()) -> Pair:
        """Return a pair for a client; Kubernetes reads the user from the common name and its groups beside it."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._signed(f"clients/{name}", _subject(common_name, groups), YEARS, usage)

    def _signed(self, name: str, subject: x509.Name, lifetime: timedelta, *extensions: x509.ExtensionType) -> Pair:
        pair = self._pair(name)
        if not pair.good:
            issuer = x509.load_pem_x509_certificate(self.ca.certificate.read_bytes())
            key, authority = _new_key(), load_pem_private_key(self.ca.key.read_bytes(), None)
            assert isinstance(authority, ec.EllipticCurvePrivateKey)
            builder = _builder(subject, issuer.subject, key, lifetime)
            for extension in extensions:
                builder = builder.add_extension(extension, critical=False)
            _write(pair, builder.sign(authority, hashes.SHA256()), key)
        return pair

    def _pair(self, name: str) -> Pair:
        stem = self.folder / self.name / name
        return Pair(stem.with_suffix(".crt"), stem.with_suffix(".key"))


def signing_keys(private: Path, public: Path) -> None:
    """Make a key pair for signing tokens, once."""
    if not public.exists():
        key = _new_key()
        _write_private(private, _key_pem(key))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _subject(common_name: str, groups: Iterable[str]) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks differ a little
        .not_valid_after(now + lifetime)
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _write_private(pair.key, _key_pem(key))
    pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)
