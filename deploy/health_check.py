"""Asks a service or the gateway of this container whether it can work: `python -m deploy.health_check NAME`.

It imports nothing of the plane, because the engine runs it every few seconds.
"""

import http.client
import sys
from pathlib import Path

FILES = Path("/etc/molecule")

GRPC_PORT = 9000

HTTP_PORT = 8080

TIMEOUT_SECONDS = 4


def main(arguments: list[str]) -> int:
    """Return 0 if the process answers that it can work, else 1."""
    name = arguments[0]
    cause = ask_gateway() if name == "gateway" else ask_service(name)
    if cause:
        print(cause)  # noqa: T201 - docker inspect shows it
    return 1 if cause else 0


def ask_gateway() -> str:
    """Return why the gateway is not ready; empty if it is."""
    connection = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        return "" if answer.status == http.HTTPStatus.OK else answer.read(4096).decode(errors="replace")
    except OSError as error:
        return str(error)


def ask_service(name: str) -> str:
    """Return why a service cannot work; empty if it can."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    certificate, key, authority = (FILES / name / f"{file}.pem" for file in ("cert", "key", "ca"))
    credentials = grpc.ssl_channel_credentials(authority.read_bytes(), key.read_bytes(), certificate.read_bytes())
    expected_name = ("grpc.ssl_target_name_override", f"{name.replace('_', '-')}.molecule.internal")
    with grpc.secure_channel(f"127.0.0.1:{GRPC_PORT}", credentials, options=[expected_name]) as channel:
        try:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined] # made when the stub is
            answer = check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            return str(error.details())
    return "" if answer.status == health_pb2.HealthCheckResponse.SERVING else "not serving"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
