"""Creates certificates for mutual TLS between machines: one authority, and one certificate for each service."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.errors import StartError
from deploy.processes import GATEWAY, SERVICES
from services.chassis.certificates import SERVER_DOMAIN, build_server_name, is_server_name

AUTHORITY: Final = "ca"

AUTHORITY_VALIDITY: Final = timedelta(days=3650)

HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_*]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*")
"""The form of the names that a certificate can contain; `*` may stand for the first label."""

CLOCK_SKEW: Final = timedelta(minutes=10)
"""How far another machine's clock may be behind without rejecting a new certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueReport:
    """What a run of `molecule certs` did."""

    is_renewal: bool
    """Whether an existing authority signed the certificates."""
    hosts: tuple[str, ...]
    """The hosts that all certificates contain."""
    kept_hosts: tuple[str, ...]
    """Those of them that were not given now, but are in the certificates that were there before."""
    valid_until: datetime


def create_certificates(directory: Path, *, hosts: Sequence[str], validity: timedelta) -> IssueReport:
    """Write `ca.pem` and, for each service, `<service>.pem` and `<service>-key.pem`.

    An existing authority signs the new certificates, so that a renewal does not change what the services trust. `hosts`
    are further names and addresses at which the services are reached, besides their own names and localhost; the hosts
    of existing certificates are kept. Raises `StartError` for a host that no certificate can contain, and for a file of
    the directory that is not what its name says.
    """
    _check_hosts(hosts)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_renewal = (directory / f"{AUTHORITY}.pem").exists()
    key, authority = _load_or_create_authority(directory)
    kept = tuple(host for host in _find_earlier_hosts(directory) if host not in hosts)
    hosts = tuple(dict.fromkeys((*kept, *hosts)))
    for service in (*SERVICES, GATEWAY):
        service_key = ec.generate_private_key(ec.SECP256R1())
        certificate = _build_certificate(
            service, service_key.public_key(), hosts=hosts, validity=validity, issuer=authority.subject, issuer_key=key
        )
        _write(directory, service, service_key, certificate)
    return IssueReport(is_renewal=is_renewal, hosts=hosts, kept_hosts=kept, valid_until=certificate.not_valid_after_utc)


def _check_hosts(hosts: Sequence[str]) -> None:
    for host in hosts:
        if not HOST.fullmatch(host) and not _is_address(host):
            message = f"{host!r} is neither a host name nor an IP address"
            raise StartError(message)
        if is_server_name(host):
            message = f"{host!r} cannot be a host: names of {SERVER_DOMAIN} prove which service a certificate is for"
            raise StartError(message)


def _find_earlier_hosts(directory: Path) -> tuple[str, ...]:
    """Return the hosts of the existing certificates, without the names that every certificate of a service has."""
    found: dict[str, None] = {}
    for service in (*SERVICES, GATEWAY):
        file = directory / f"{service}.pem"
        if not file.exists():
            continue
        try:
            extensions = _load_certificate(file).extensions
            alternatives = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            continue
        dns = alternatives.get_values_for_type(x509.DNSName)
        addresses = [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]
        own = _list_own_names(service)
        found |= dict.fromkeys(host for host in (*dns, *addresses) if host not in own and not is_server_name(host))
    return tuple(found)


def _list_own_names(service: str) -> tuple[str, ...]:
    return (service, service.replace("_", "-"), build_server_name(service), "localhost", "127.0.0.1")


def _load_or_create_authority(directory: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    if (directory / f"{AUTHORITY}.pem").exists():
        certificate = _load_certificate(directory / f"{AUTHORITY}.pem")
        return _load_key(directory / f"{AUTHORITY}-key.pem", certificate), certificate
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


def _load_certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError as error:
        message = f"{file} is not a certificate: remove it, or put the right file there"
        raise StartError(message) from error


def _load_key(file: Path, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    """Return the key of the authority, whose certificate is given."""
    try:
        found = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except FileNotFoundError as error:
        message = f"{file} is missing: put the key of the authority there, or use another directory for a new authority"
        raise StartError(message) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        message = f"{file} is not a key without a password: put the key of the authority there"
        raise StartError(message) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey) or found.public_key() != certificate.public_key():
        message = f"{file} is not the key of {AUTHORITY}.pem: put the key of the authority there"
        raise StartError(message)
    return found


def _build_certificate(
    service: str,
    key: ec.EllipticCurvePublicKey,
    *,
    hosts: Sequence[str],
    validity: timedelta,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Build a service's certificate.

    Its URI is its identity as a caller, and its name in SERVER_DOMAIN as a server. The other names only say where the
    service is reached.
    """
    names = dict.fromkeys((*_list_own_names(service), *hosts))
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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
