"""The certificates for mutual TLS."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from deploy import certs
from deploy.errors import StartError
from services.chassis.certificates import build_server_name

VALIDITY = timedelta(days=30)


def read_alternative_names(directory, service: str) -> x509.SubjectAlternativeName:
    certificate = x509.load_pem_x509_certificate((directory / f"{service}.pem").read_bytes())
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_each_certificate_has_its_service_as_identity(tmp_path):
    certs.create_certificates(tmp_path, hosts=["10.1.2.3", "plane.example"], validity=VALIDITY)

    for service in ("auth", "registry", "provisioner", "a2a_proxy", "gateway"):
        found = read_alternative_names(tmp_path, service)
        assert found.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://molecule/{service}"]
        assert "plane.example" in found.get_values_for_type(x509.DNSName)
        assert "10.1.2.3" in [str(address) for address in found.get_values_for_type(x509.IPAddress)]


@pytest.mark.covers("ENV-20")
def test_each_certificate_has_the_server_name_of_its_service_only(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], validity=VALIDITY)

    for service in ("auth", "registry", "provisioner", "a2a_proxy", "gateway"):
        found = read_alternative_names(tmp_path, service).get_values_for_type(x509.DNSName)
        assert [name for name in found if name.endswith("molecule.internal")] == [build_server_name(service)]


@pytest.mark.covers("ENV-20")
@pytest.mark.parametrize(
    "host", ["auth.molecule.internal", "*.Molecule.Internal", "a b", "", "http://plane.example", "ünter", "a,b"]
)
def test_host_that_a_certificate_must_not_contain_is_refused_before_anything_is_written(tmp_path, host):
    with pytest.raises(StartError, match=re.escape(repr(host))):
        certs.create_certificates(tmp_path / "new", hosts=["plane.example", host], validity=VALIDITY)
    assert not (tmp_path / "new").exists()


@pytest.mark.covers("ENV-21")
def test_renewal_keeps_the_hosts_and_says_so(tmp_path):
    first = certs.create_certificates(tmp_path, hosts=["10.1.2.3", "plane.example"], validity=VALIDITY)
    second = certs.create_certificates(tmp_path, hosts=["other.example", "plane.example"], validity=VALIDITY)
    third = certs.create_certificates(tmp_path, hosts=[], validity=VALIDITY)

    assert (first.is_renewal, first.hosts, first.kept_hosts) == (False, ("10.1.2.3", "plane.example"), ())
    assert second.is_renewal
    assert set(second.hosts) == {"plane.example", "10.1.2.3", "other.example"}
    assert second.kept_hosts == ("10.1.2.3",)
    assert set(third.kept_hosts) == set(third.hosts) == set(second.hosts)
    for service in ("auth", "a2a_proxy"):
        found = read_alternative_names(tmp_path, service)
        assert {"plane.example", "other.example"} < set(found.get_values_for_type(x509.DNSName))
        assert "10.1.2.3" in [str(address) for address in found.get_values_for_type(x509.IPAddress)]
        assert "gateway" not in found.get_values_for_type(x509.DNSName)


@pytest.mark.covers("ENV-21")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ca-key.pem", None, "ca-key.pem is missing: put the key of the authority there"),
        ("ca-key.pem", b"odd", "ca-key.pem is not a key"),
        ("ca.pem", b"odd", "ca.pem is not a certificate"),
        ("auth.pem", b"", "auth.pem is not a certificate"),
        ("ca-key.pem", "auth-key.pem", "ca-key.pem is not the key of ca.pem"),
    ],
)
def test_renewal_names_a_file_that_it_cannot_use_and_changes_nothing(tmp_path, name, content, message):
    certs.create_certificates(tmp_path, hosts=["plane.example"], validity=VALIDITY)
    match content:
        case None:
            (tmp_path / name).unlink()
        case str():
            (tmp_path / name).write_bytes((tmp_path / content).read_bytes())
        case _:
            (tmp_path / name).write_bytes(content)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(StartError, match=re.escape(message)):
        certs.create_certificates(tmp_path, hosts=[], validity=VALIDITY)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.covers("ENV-21")
def test_the_command_says_what_it_did(tmp_path):
    run = [sys.executable, "-m", "molecule_cli", "certs", str(tmp_path)]
    first = subprocess.run([*run, "--host", "plane.example"], capture_output=True, text=True, check=True).stdout
    second = subprocess.run(run, capture_output=True, text=True, check=True).stdout

    assert "written with a new authority" in first
    assert "names of the services: plane.example" in first
    assert "renewed under the authority" in second
    assert "kept from before: plane.example" in second


def test_keys_are_readable_by_their_owner_only(tmp_path):
    certs.create_certificates(tmp_path / "new", hosts=[], validity=VALIDITY)

    for key in (tmp_path / "new").glob("*-key.pem"):
        assert key.stat().st_mode & 0o777 == 0o600


def test_renewal_keeps_the_authority(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], validity=VALIDITY)
    authority, certificate = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "auth.pem").read_bytes()

    certs.create_certificates(tmp_path, hosts=[], validity=VALIDITY)

    assert (tmp_path / "ca.pem").read_bytes() == authority
    assert (tmp_path / "auth.pem").read_bytes() != certificate


def test_certificate_ends_after_its_validity(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], validity=VALIDITY)

    certificate = x509.load_pem_x509_certificate((tmp_path / "auth.pem").read_bytes())

    assert abs(certificate.not_valid_after_utc - datetime.now(UTC) - VALIDITY) < timedelta(minutes=1)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "auth"


@pytest.fixture
async def server(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], validity=VALIDITY)
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


async def test_grpc_accepts_these_certificates_only(server, tmp_path):
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
