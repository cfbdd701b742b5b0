"""The contracts keep their rules, and each rule detects a violation."""

import pytest

from protos import generate
from tests.contract.contract_rules import list_violations


@pytest.fixture(scope="module")
def descriptors():
    return generate.descriptors()


@pytest.fixture(scope="module")
def known():
    return generate.CONTRACT.read_text().splitlines()


@pytest.fixture
def copy(descriptors):
    """A copy of the contracts that a test may change."""
    spoilt = type(descriptors)()
    spoilt.CopyFrom(descriptors)
    return spoilt


def file(descriptors, name):
    return next(file for file in descriptors.file if file.name == name)


REGISTRY = "protos/registry/v1/registry.proto"


def test_the_contracts_keep_every_rule(descriptors, known):
    assert list_violations(descriptors, known) == []


def test_nothing_is_published_twice(known):
    assert len(known) == len(set(known))


def test_an_rpc_without_access_option_is_detected(copy, known):
    rpc = file(copy, REGISTRY).service[0].method[0]
    rpc.options.Clear()
    assert list_violations(copy, known) == [f"RegistryService/{rpc.name}: does not say who may call it"]


def test_a_renumbered_field_is_detected(copy, known):
    field = next(m for m in file(copy, REGISTRY).message_type if m.name == "HeartbeatRequest").field[0]
    field.number = 99
    violations = list_violations(copy, known)
    assert "taken back: field molecule.registry.v1.HeartbeatRequest.1 string workspace_id" in violations
    assert "not published: field molecule.registry.v1.HeartbeatRequest.99 string workspace_id" in violations


def test_a_removed_rpc_is_detected(copy, known):
    service = file(copy, REGISTRY).service[0]
    del service.method[0]
    assert any(
        violation.startswith("taken back: rpc molecule.registry.v1.RegistryService/")
        for violation in list_violations(copy, known)
    )


def test_a_contract_that_imports_another_contract_is_detected(copy, known):
    file(copy, REGISTRY).dependency.append("protos/auth/v1/auth.proto")
    assert list_violations(copy, known) == [f"{REGISTRY}: imports protos/auth/v1/auth.proto, another context"]


def test_an_enum_whose_zero_has_a_meaning_is_detected(copy, known):
    enum = file(copy, REGISTRY).enum_type[0]
    enum.value[0].name = "WORKSPACE_STATUS_PROVISIONING_TOO"
    assert "WorkspaceStatus: zero is not WORKSPACE_STATUS_UNSPECIFIED" in list_violations(copy, known)


def test_the_committed_code_is_generated_from_the_contracts():
    assert generate.main(["--check"]) == 0
