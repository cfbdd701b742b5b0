"""Mutual TLS: across machines the certificate says who speaks."""

from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from deploy import certs
from protos.provisioner.v1 import provisioner_pb2, provisioner_pb2_grpc
from services.chassis import clients, errors
from services.chassis.service import Components, Service, Servicer, run_service
from services.chassis.settings import ChassisSettings, Mode, Tls


class CalmProvisioner(provisioner_pb2_grpc.ProvisionerServiceServicer):
    """Answers."""

    async def CheckInstance(self, request, context):
        return provisioner_pb2.CheckInstanceResponse()


@asynccontextmanager
async def assemble(_):
    contract = provisioner_pb2.DESCRIPTOR.services_by_name["ProvisionerService"]
    add = provisioner_pb2_grpc.add_ProvisionerServiceServicer_to_server
    yield Components(servicers=[Servicer(contract=contract, add=add, servicer=CalmProvisioner())])


SERVICE = Service(name="provisioner", settings=ChassisSettings, assemble=assemble)


@pytest.fixture
def issued(tmp_path):
    certs.create_certificates(tmp_path, hosts=[], validity=timedelta(days=1))
    return lambda name: Tls(cert=tmp_path / f"{name}.pem", key=tmp_path / f"{name}-key.pem", ca=tmp_path / "ca.pem")


def settings(tls):
    return ChassisSettings(
        listen="127.0.0.1:0", mode=Mode.PRODUCTION, tls_cert=tls.cert, tls_key=tls.key, tls_ca=tls.ca
    )


async def asked(address, *, speaker, tls):
    async with clients.open_channel(address, speaker=speaker, tls=tls) as line:
        stub = provisioner_pb2_grpc.ProvisionerServiceStub(line.channel)
        request = provisioner_pb2.CheckInstanceRequest(workspace_id="w1")
        return await line.call(stub.CheckInstance, request, timeout=timedelta(seconds=1))


async def test_a_certificate_proves_the_name_of_its_service(issued):
    async with run_service(SERVICE, settings(issued("provisioner"))) as address:
        await asked(address, speaker="a2a_proxy", tls=issued("a2a_proxy"))


async def test_another_name_than_that_of_the_certificate_is_refused(issued):
    async with run_service(SERVICE, settings(issued("provisioner"))) as address:
        with pytest.raises(errors.Unauthenticated):
            await asked(address, speaker="a2a_proxy", tls=issued("registry"))


async def test_nobody_gets_in_without_a_certificate_of_the_authority(issued, tmp_path):
    certs.create_certificates(tmp_path / "others", hosts=[], validity=timedelta(days=1))
    stranger = Tls(
        cert=tmp_path / "others" / "a2a_proxy.pem",
        key=tmp_path / "others" / "a2a_proxy-key.pem",
        ca=issued("a2a_proxy").ca,
    )
    async with run_service(SERVICE, settings(issued("provisioner"))) as address:
        with pytest.raises(errors.Unavailable):
            await asked(address, speaker="a2a_proxy", tls=stranger)
        with pytest.raises(errors.Unavailable):
            await asked(address, speaker="a2a_proxy", tls=None)
