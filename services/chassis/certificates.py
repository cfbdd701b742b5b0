"""The names that callers expect in the certificates of mutual TLS."""

from cryptography import x509

from services.chassis.settings import InvalidSettings, Tls

SERVER_DOMAIN = "molecule.internal"
"""Domain of the names that callers expect. No host has them: they only say which service a certificate is for."""


def build_server_name(service: str) -> str:
    """Return the name that callers of a service expect in its certificate, in place of the host that they dial.

    The certificates of all services may contain the same hosts, and gRPC cannot compare the URI.
    """
    return f"{service.replace('_', '-')}.{SERVER_DOMAIN}"


def is_server_name(name: str) -> bool:
    """Whether a certificate with this name, which may begin with `*`, passes as one of a service."""
    return name.lower().rstrip(".").endswith(f".{SERVER_DOMAIN}")


def check_server_name(tls: Tls, service: str) -> None:
    """Raise `InvalidSettings` unless callers of the service would accept its certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(tls.cert.read_bytes())
    except ValueError:
        raise InvalidSettings(f"{tls.cert} is no certificate in PEM form: make it with molecule certs") from None
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        found = []
    if (expected := build_server_name(service)) not in found:
        raise InvalidSettings(
            f"the certificate {tls.cert} is not one of {service} (it does not name {expected}):"
            " make it again with molecule certs, which keeps the authority and the hosts"
        )
