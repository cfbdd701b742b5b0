from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from deploy import certs

LASTS = timedelta(days=30)


def names(directory, service: str) -> x509.SubjectAlternativeName:
    certificate = x509.load_pem_x509_certificate((directory / f"{service}.pem").read_bytes())
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_each_service_has_its_own_name(tmp_path):
    certs.create_certificates(tmp_path, hosts=["10.1.2.3", "plane.example"], lasts=LASTS)

    for service in ("auth", "registry", "provisioner", "a2a_proxy", "gateway"):
        found = names(tmp_path, service)
        assert found.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://molecule/{service}"]
        assert "plane.example" in found.get_values_for_type(x509.DNSName)
        assert "10.1.2.3" in [str(address) for address in found.get_values_for_type(x509.IPAddress)]


def test_keys_are_for_their_owner_alone(tmp_path):
    certs.create_certificates(tmp_path / "new", hosts=[], lasts=LASTS)

    for key in (tmp_path / "new").glob("*-key.pem"):
        assert key.stat().st_mode & 0o777 == 0o600


def test_renewing_keeps_the_authority(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], lasts=LASTS)
    authority, leaf = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "auth.pem").read_bytes()

    certs.create_certificates(tmp_path, hosts=[], lasts=LASTS)

    assert (tmp_path / "ca.pem").read_bytes() == authority
    assert (tmp_path / "auth.pem").read_bytes() != leaf


def test_a_leaf_ends_when_told(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], lasts=LASTS)

    leaf = x509.load_pem_x509_certificate((tmp_path / "auth.pem").read_bytes())

    assert abs(leaf.not_valid_after_utc - datetime.now(UTC) - LASTS) < timedelta(minutes=1)
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "auth"


@pytest.fixture
async def server(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], lasts=LASTS)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    read = {name: (tmp_path / f"{name}.pem").read_bytes() for name in ("registry-key", "registry", "ca")}
    credentials = grpc.ssl_server_credentials(
        [(read["registry-key"], read["registry"])], root_certificates=read["ca"], require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_grpc_talks_with_them_and_with_nobody_else(server, tmp_path):
    read = {name: (tmp_path / f"{name}.pem").read_bytes() for name in ("gateway-key", "gateway", "ca")}
    trusted = grpc.ssl_channel_credentials(read["ca"], read["gateway-key"], read["gateway"])
    unknown = grpc.ssl_channel_credentials(read["ca"])
    question = health_pb2.HealthCheckRequest()

    async with grpc.aio.secure_channel(server, trusted) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(question)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    async with grpc.aio.secure_channel(server, unknown) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await health_pb2_grpc.HealthStub(channel).Check(question)
