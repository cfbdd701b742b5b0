"""Reads how long certificates are valid: those of files, and that of the plane's HTTPS address."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from molecule_cli.diagnosis import judgement
from molecule_cli.diagnosis.model import Finding, fault, warning

TIMEOUT_SECONDS = 5.0

HTTPS_PORT = 443


def check_directory(directory: Path) -> Iterator[Finding]:
    """Yield a finding for each certificate of a directory that `molecule certs` has written."""
    files = sorted(file for file in directory.glob("*.pem") if not file.name.endswith("-key.pem"))
    if not files:
        yield warning("certificates", f"there are none in {directory}", "name the directory of molecule certs")
    for file in files:
        try:
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
        except (OSError, ValueError) as error:
            step = "molecule certs DIRECTORY writes them anew"
            yield fault(f"certificate {file.name}", f"cannot be read: {error}", step)
            continue
        yield judgement.judge_certificate(file.name, certificate.not_valid_after_utc, now=datetime.now(UTC))


def check_address(url: str) -> Iterator[Finding]:
    """Yield how long the certificate of an HTTPS address is valid, trusted or not; nothing for another address."""
    address = urlsplit(url)
    if address.scheme != "https" or address.hostname is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the date of an untrusted certificate is looked at, and nothing is sent
    try:
        with (
            socket.create_connection((address.hostname, address.port or HTTPS_PORT), TIMEOUT_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=address.hostname) as secured,
        ):
            encoded = secured.getpeercert(binary_form=True)
    except OSError:
        return  # the check of the address says that nothing answers
    if encoded:
        certificate = x509.load_der_x509_certificate(encoded)
        yield judgement.judge_certificate(address.hostname, certificate.not_valid_after_utc, now=datetime.now(UTC))
