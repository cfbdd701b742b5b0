"""Every reason in the contracts is raised somewhere, and every reason raised is in its contract."""

import importlib

import pytest

from protos.a2a_proxy.v1 import a2a_proxy_pb2
from protos.auth.v1 import auth_pb2
from protos.common.v1 import errors_pb2
from protos.provisioner.v1 import provisioner_pb2
from protos.registry.v1 import registry_pb2
from services.chassis.errors import ServiceError

CONTRACTS = {
    "auth": auth_pb2,
    "registry": registry_pb2,
    "provisioner": provisioner_pb2,
    "a2a_proxy": a2a_proxy_pb2,
}


def subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def reasons(contract):
    return {name.removeprefix("ERROR_REASON_") for name in contract.ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118


@pytest.mark.parametrize("service", CONTRACTS)
def test_reasons_in_code_and_contract_are_the_same(service):
    importlib.import_module(f"services.{service}.app")
    raised = {
        error.reason
        for error in subclasses(ServiceError)
        if error.__module__.startswith(f"services.{service}.") and error.domain == f"molecule.{service}.v1"
    }
    assert raised == reasons(CONTRACTS[service])


@pytest.mark.parametrize("service", CONTRACTS)
def test_no_service_raises_a_reason_of_another(service):
    importlib.import_module(f"services.{service}.app")
    strays = [
        error.__name__
        for error in subclasses(ServiceError)
        if error.__module__.startswith(f"services.{service}.")
        and error.domain not in {f"molecule.{service}.v1", "molecule.common.v1"}
    ]
    assert strays == []


def test_the_reasons_of_the_chassis_are_in_the_common_contract():
    known = reasons(errors_pb2)
    chassis = [
        error for error in [ServiceError, *subclasses(ServiceError)] if error.__module__.startswith("services.chassis")
    ]
    assert {error.reason for error in chassis} <= known
