"""The contracts keep their rules, and the rules can be broken."""

import pytest

from protos import generate
from tests.contract.contract_rules import broken


@pytest.fixture(scope="module")
def descriptors():
    return generate.descriptors()


@pytest.fixture(scope="module")
def known():
    return generate.CONTRACT.read_text().splitlines()


@pytest.fixture
def copy(descriptors):
    """The contracts, free to be spoilt."""
    spoilt = type(descriptors)()
    spoilt.CopyFrom(descriptors)
    return spoilt


def file(descriptors, name):
    return next(file for file in descriptors.file if file.name == name)


REGISTRY = "protos/registry/v1/registry.proto"


def test_the_contracts_keep_every_rule(descriptors, known):
    assert broken(descriptors, known) == []


def test_nothing_is_published_twice(known):
    assert len(known) == len(set(known))


def test_an_rpc_that_does_not_say_who_may_call_it_is_found(copy, known):
    rpc = file(copy, REGISTRY).service[0].method[0]
    rpc.options.Clear()
    assert broken(copy, known) == [f"RegistryService/{rpc.name}: does not say who may call it"]


def test_a_renumbered_field_is_found(copy, known):
    field = next(m for m in file(copy, REGISTRY).message_type if m.name == "HeartbeatRequest").field[0]
    field.number = 99
    faults = broken(copy, known)
    assert "taken back: field molecule.registry.v1.HeartbeatRequest.1 string workspace_id" in faults
    assert "not published: field molecule.registry.v1.HeartbeatRequest.99 string workspace_id" in faults


def test_a_removed_rpc_is_found(copy, known):
    service = file(copy, REGISTRY).service[0]
    del service.method[0]
    assert any(
        fault.startswith("taken back: rpc molecule.registry.v1.RegistryService/") for fault in broken(copy, known)
    )


def test_a_contract_that_imports_another_context_is_found(copy, known):
    file(copy, REGISTRY).dependency.append("protos/auth/v1/auth.proto")
    assert broken(copy, known) == [f"{REGISTRY}: imports protos/auth/v1/auth.proto, another context"]


def test_an_enum_whose_zero_means_something_is_found(copy, known):
    enum = file(copy, REGISTRY).enum_type[0]
    enum.value[0].name = "WORKSPACE_STATUS_PROVISIONING_TOO"
    assert "WorkspaceStatus: zero is not WORKSPACE_STATUS_UNSPECIFIED" in broken(copy, known)


def test_what_is_committed_is_what_the_contracts_say():
    assert generate.main(["--check"]) == 0
