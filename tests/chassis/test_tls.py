"""Mutual TLS: across machines the certificate proves the name of the calling service."""

import ast
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from deploy import certs
from protos.provisioner.v1 import provisioner_pb2, provisioner_pb2_grpc
from services.chassis import clients, errors
from services.chassis.service import Components, Service, Servicer, run_service
from services.chassis.settings import ChassisSettings, InvalidSettings, Mode, Tls

ROOT = Path(__file__).parents[2]


class AnsweringProvisioner(provisioner_pb2_grpc.ProvisionerServiceServicer):
    """Answers every check."""

    async def CheckInstance(self, request, context):
        return provisioner_pb2.CheckInstanceResponse()


@asynccontextmanager
async def assemble(_):
    contract = provisioner_pb2.DESCRIPTOR.services_by_name["ProvisionerService"]
    add = provisioner_pb2_grpc.add_ProvisionerServiceServicer_to_server
    yield Components(servicers=[Servicer(contract=contract, add=add, servicer=AnsweringProvisioner())])


SERVICE = Service(name="provisioner", settings=ChassisSettings, assemble=assemble)
NAMES = ("auth", "registry", "provisioner", "a2a_proxy", "gateway")


@pytest.fixture
def issue(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], validity=timedelta(days=1))
    return lambda name: issue_from(tmp_path, name)


def issue_from(folder, name):
    return Tls(cert=folder / f"{name}.pem", key=folder / f"{name}-key.pem", ca=folder / "ca.pem")


def settings(tls):
    return ChassisSettings(
        listen="127.0.0.1:0", mode=Mode.PRODUCTION, tls_cert=tls.cert, tls_key=tls.key, tls_ca=tls.ca
    )


async def check_instance(address, *, caller_service, tls, service="provisioner"):
    async with clients.open_channel(address, caller_service=caller_service, service=service, tls=tls) as channel:
        stub = provisioner_pb2_grpc.ProvisionerServiceStub(channel.channel)
        request = provisioner_pb2.CheckInstanceRequest(workspace_id="w1")
        return await channel.call(stub.CheckInstance, request, timeout=timedelta(seconds=1))


async def test_a_certificate_proves_the_name_of_its_service(issue):
    async with run_service(SERVICE, settings(issue("provisioner"))) as address:
        await check_instance(address, caller_service="a2a_proxy", tls=issue("a2a_proxy"))


async def test_a_service_name_that_the_certificate_does_not_prove_is_refused(issue):
    async with run_service(SERVICE, settings(issue("provisioner"))) as address:
        with pytest.raises(errors.Unauthenticated):
            await check_instance(address, caller_service="a2a_proxy", tls=issue("registry"))


async def test_a_connection_without_a_certificate_of_the_authority_is_refused(issue, tmp_path):
    certs.create_certificates(tmp_path / "others", hosts=[], validity=timedelta(days=1))
    foreign_certificate = Tls(
        cert=tmp_path / "others" / "a2a_proxy.pem",
        key=tmp_path / "others" / "a2a_proxy-key.pem",
        ca=issue("a2a_proxy").ca,
    )
    async with run_service(SERVICE, settings(issue("provisioner"))) as address:
        with pytest.raises(errors.Unavailable):
            await check_instance(address, caller_service="a2a_proxy", tls=foreign_certificate)
        with pytest.raises(errors.Unavailable):
            await check_instance(address, caller_service="a2a_proxy", tls=None)


@pytest.mark.covers("ENV-20")
@pytest.mark.parametrize("impostor", [name for name in NAMES if name != "provisioner"])
async def test_a_caller_refuses_the_certificate_of_another_service(issue, impostor):
    server = replace(SERVICE, name=impostor)
    async with run_service(server, settings(issue(impostor))) as address:
        with structlog.testing.capture_logs() as logs, pytest.raises(errors.Unavailable):
            await check_instance(address, caller_service="a2a_proxy", tls=issue("a2a_proxy"))
        await check_instance(address, caller_service="a2a_proxy", tls=issue("a2a_proxy"), service=impostor)

    assert [(line["log_level"], line["service"]) for line in logs if "certificate" in line["event"]] == [
        ("error", "provisioner")
    ]


@pytest.mark.covers("ENV-03")
async def test_a_channel_uses_no_proxy_of_the_environment(issue, monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with run_service(SERVICE, settings(issue("provisioner"))) as address:
        target = f"localhost:{address.rpartition(':')[2]}"
        await check_instance(target, caller_service="a2a_proxy", tls=issue("a2a_proxy"))


@pytest.mark.covers("ENV-20")
async def test_a_caller_that_names_no_service_reaches_none(issue):
    async with run_service(SERVICE, settings(issue("provisioner"))) as address:
        with pytest.raises(errors.Unavailable):
            await check_instance(address, caller_service="a2a_proxy", tls=issue("a2a_proxy"), service="")


@pytest.mark.covers("ENV-20")
async def test_a_service_with_a_certificate_of_an_earlier_release_says_how_to_renew_it(issue, tmp_path, monkeypatch):
    monkeypatch.setattr(certs, "build_server_name", lambda _: "localhost")
    certs.create_certificates(tmp_path, hosts=[], validity=timedelta(days=1))

    with pytest.raises(InvalidSettings, match=r"is not one of provisioner .* make it again with molecule certs"):
        async with run_service(SERVICE, settings(issue_from(tmp_path, "provisioner"))):
            pass
    with pytest.raises(InvalidSettings, match="is not one of provisioner"):
        async with run_service(SERVICE, settings(issue_from(tmp_path, "auth"))):
            pass


def test_every_channel_of_the_product_names_its_service():
    calls = [
        (path.name, node.lineno, {keyword.arg for keyword in node.keywords})
        for folder in ("services", "gateway")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "open_channel"
    ]
    assert len(calls) > 4
    assert [call for call in calls if not {"service", "tls"} <= call[2]] == []
