"""Mutual TLS: across machines the certificate proves the name of the calling service."""

from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from deploy import certs
from protos.provisioner.v1 import provisioner_pb2, provisioner_pb2_grpc
from services.chassis import clients, errors
from services.chassis.service import Components, Service, Servicer, run_service
from services.chassis.settings import ChassisSettings, Mode, Tls


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


@pytest.fixture
def issue(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], validity=timedelta(days=1))
    return lambda name: Tls(cert=tmp_path / f"{name}.pem", key=tmp_path / f"{name}-key.pem", ca=tmp_path / "ca.pem")


def settings(tls):
    return ChassisSettings(
        listen="127.0.0.1:0", mode=Mode.PRODUCTION, tls_cert=tls.cert, tls_key=tls.key, tls_ca=tls.ca
    )


async def check_instance(address, *, caller_service, tls):
    async with clients.open_channel(address, caller_service=caller_service, tls=tls) as channel:
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
