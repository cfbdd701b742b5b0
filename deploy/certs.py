"""Certificates for mutual TLS between machines: one authority, one leaf for each service."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.processes import GATEWAY, SERVICES

AUTHORITY: Final = "ca"

AUTHORITY_LASTS: Final = timedelta(days=3650)

SKEW: Final = timedelta(minutes=10)
"""How far behind another machine's clock may be before it distrusts a new certificate."""


def create_certificates(directory: Path, *, hosts: Sequence[str], lasts: timedelta) -> None:
    """Write `ca.pem` and, for each service, `<service>.pem` and `<service>-key.pem`.

    An authority that is there already signs the new leaves, so renewing them needs no new trust.
    `hosts` are names and addresses under which the services are dialled, besides their own names and this machine.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, authority = _authority(directory)
    for service in (*SERVICES, GATEWAY):
        own = ec.generate_private_key(ec.SECP256R1())
        leaf = _leaf(service, own.public_key(), hosts=hosts, lasts=lasts, issuer=authority.subject, signer=key)
        _write(directory, service, own, leaf)


def _authority(directory: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    if (directory / f"{AUTHORITY}.pem").exists():
        found = serialization.load_pem_private_key((directory / f"{AUTHORITY}-key.pem").read_bytes(), password=None)
        assert isinstance(found, ec.EllipticCurvePrivateKey)  # noqa: S101 - we wrote it
        return found, x509.load_pem_x509_certificate((directory / f"{AUTHORITY}.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("molecule")
    certificate = (
        _begun(name, name, key.public_key(), lasts=AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(directory, AUTHORITY, key, certificate)
    return key, certificate


def _leaf(
    service: str,
    key: ec.EllipticCurvePublicKey,
    *,
    hosts: Sequence[str],
    lasts: timedelta,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Whose name is the URI; the other names are only where it is found."""
    names = dict.fromkeys((service, service.replace("_", "-"), "localhost", "127.0.0.1", *hosts))
    alternatives = [x509.UniformResourceIdentifier(f"spiffe://molecule/{service}"), *(_host(name) for name in names)]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        _begun(_named(service), issuer, key, lasts=lasts)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, lasts: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + lasts)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(directory: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    secret = directory / f"{name}-key.pem"
    secret.touch(mode=0o600)
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
