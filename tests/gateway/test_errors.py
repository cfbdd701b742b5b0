import json
from datetime import timedelta

import pytest

from gateway import errors
from gateway.errors import A2A_PROXY, AUTH, GATEWAY, HTTP_STATUS, PROVISIONER, REGISTRY, http_status, render_error
from protos.a2a_proxy.v1 import a2a_proxy_pb2
from protos.auth.v1 import auth_pb2
from protos.common.v1 import errors_pb2
from protos.provisioner.v1 import provisioner_pb2
from protos.registry.v1 import registry_pb2
from services.chassis.errors import (
    COMMON_DOMAIN,
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    NotFound,
    ServiceError,
    Unauthenticated,
    Unavailable,
)

CONTRACTS = {
    COMMON_DOMAIN: errors_pb2,
    AUTH: auth_pb2,
    REGISTRY: registry_pb2,
    A2A_PROXY: a2a_proxy_pb2,
    PROVISIONER: provisioner_pb2,
}


def reasons(contract):
    names = contract.DESCRIPTOR.enum_types_by_name["ErrorReason"].values_by_name
    return {name.removeprefix("ERROR_REASON_") for name in names} - {"UNSPECIFIED"}


@pytest.mark.parametrize("domain", CONTRACTS)
def test_every_reason_of_a_contract_has_a_status_and_no_other(domain):
    assert {reason for held, reason in HTTP_STATUS if held == domain} == reasons(CONTRACTS[domain])


def test_every_domain_is_a_contract_or_the_gateway_itself():
    assert {domain for domain, _ in HTTP_STATUS} == {*CONTRACTS, GATEWAY}
    assert all(domain == contract.DESCRIPTOR.package for domain, contract in CONTRACTS.items())


def test_every_error_of_the_gateway_is_in_the_table():
    own = {error.reason for error in vars(errors).values() if getattr(error, "domain", None) == GATEWAY}

    assert own == {reason for domain, reason in HTTP_STATUS if domain == GATEWAY}


def made(error: type[ServiceError], domain: str, reason: str, message: str, **kwargs) -> ServiceError:
    fault = error(message, **kwargs)
    fault.domain, fault.reason = domain, reason
    return fault


def body(error):
    return json.loads(render_error(error).body)


def test_an_answer_has_the_text_and_the_details_of_its_error():
    error = made(FailedPrecondition, REGISTRY, "WRONG_STATUS", "workspace is paused", details={"status": "paused"})

    assert render_error(error).status_code == 409
    assert body(error) == {"error": "workspace is paused", "status": "paused"}


def test_a_time_to_retry_becomes_a_header():
    error = made(Unavailable, A2A_PROXY, "AGENT_RESTARTING", "gone", retry_in=timedelta(seconds=15))

    assert render_error(error).headers["retry-after"] == "15"


def test_errors_with_a_body_of_their_own_keep_it():
    details = {"status": "confirmation_required", "message": "m", "children_count": 1, "children": []}
    error = made(FailedPrecondition, REGISTRY, "CONFIRMATION_REQUIRED", "not shown", details=details)

    assert render_error(error).status_code == 409
    assert body(error) == details


@pytest.mark.parametrize("error", [Unavailable("secret-marker"), DeadlineExceeded("secret-marker")])
def test_every_unavailable_service_is_answered_in_one_way(error):
    answer = render_error(error)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.body == (
        '{"code":"platform_unavailable","error":"platform datastore unavailable — retry shortly"}'.encode()
    )


def test_the_delivery_of_a_message_is_reported_even_then():
    error = Unavailable("secret-marker", details={"delivery": "unknown", "address": "secret-marker"})

    assert body(error) == {**errors.UNAVAILABLE_BODY, "delivery": "unknown"}


@pytest.mark.parametrize(
    "error", [InternalError("secret-marker", details={"trace_id": "x"}), Unauthenticated("secret-marker")]
)
def test_internal_errors_are_answered_without_their_text(error):
    assert render_error(error).status_code == 500
    assert render_error(error).body == b'{"error":"internal error"}'


def test_an_unknown_reason_has_the_status_of_its_code():
    assert http_status(made(NotFound, REGISTRY, "NEWER_THAN_THIS", "not there")) == 404


def test_an_unavailable_reason_of_a_service_keeps_its_text():
    error = made(Unavailable, REGISTRY, "PROVISIONER_UNAVAILABLE", "provisioner not available")

    assert render_error(error).status_code == 503
    assert body(error) == {"error": "provisioner not available"}
