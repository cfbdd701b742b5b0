"""Creates certificates for mutual TLS between machines: one authority, and one certificate for each service."""

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

AUTHORITY_VALIDITY: Final = timedelta(days=3650)

CLOCK_SKEW: Final = timedelta(minutes=10)
"""How far another machine's clock may be behind without rejecting a new certificate."""


def create_certificates(directory: Path, *, hosts: Sequence[str], validity: timedelta) -> None:
    """Write `ca.pem` and, for each service, `<service>.pem` and `<service>-key.pem`.

    An existing authority signs the new certificates, so that a renewal does not change what the services trust. `hosts`
    are further names and addresses at which the services are reached, besides their own names and localhost.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, authority = _load_or_create_authority(directory)
    for service in (*SERVICES, GATEWAY):
        service_key = ec.generate_private_key(ec.SECP256R1())
        certificate = _build_certificate(
            service, service_key.public_key(), hosts=hosts, validity=validity, issuer=authority.subject, issuer_key=key
        )
        _write(directory, service, service_key, certificate)


def _load_or_create_authority(directory: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    if (directory / f"{AUTHORITY}.pem").exists():
        found = serialization.load_pem_private_key((directory / f"{AUTHORITY}-key.pem").read_bytes(), password=None)
        assert isinstance(found, ec.EllipticCurvePrivateKey)  # noqa: S101 - this module wrote the key
        return found, x509.load_pem_x509_certificate((directory / f"{AUTHORITY}.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    name = _build_name("molecule")
    certificate = (
        _start_builder(name, name, key.public_key(), validity=AUTHORITY_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_build_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(directory, AUTHORITY, key, certificate)
    return key, certificate


def _build_certificate(
    service: str,
    key: ec.EllipticCurvePublicKey,
    *,
    hosts: Sequence[str],
    validity: timedelta,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Build a service's certificate. Its URI is the identity; the other names only say where the service is reached."""
    names = dict.fromkeys((service, service.replace("_", "-"), "localhost", "127.0.0.1", *hosts))
    identity = x509.UniformResourceIdentifier(f"spiffe://molecule/{service}")
    alternatives = [identity, *(_parse_host(name) for name in names)]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        _start_builder(_build_name(service), issuer, key, validity=validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_build_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _start_builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, validity: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + validity)
    )


def _build_key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
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


def _build_name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _parse_host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(directory: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    key_file = directory / f"{name}-key.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
