from datetime import timedelta

import grpc
import pytest

from services.chassis import errors
from services.chassis.errors import Code, ServiceError

TABLE = [
    (ServiceError, "INTERNAL", "INTERNAL", "internal error"),
    (errors.InvalidArgument, "INVALID_ARGUMENT", "INVALID_FIELD", "internal error"),
    (errors.NotFound, "NOT_FOUND", "INTERNAL", "internal error"),
    (errors.AlreadyExists, "ALREADY_EXISTS", "INTERNAL", "internal error"),
    (errors.PermissionDenied, "PERMISSION_DENIED", "ACCESS_DENIED", "access denied"),
    (errors.Unauthenticated, "UNAUTHENTICATED", "UNIDENTIFIED", "caller not identified"),
    (errors.FailedPrecondition, "FAILED_PRECONDITION", "INTERNAL", "internal error"),
    (errors.ResourceExhausted, "RESOURCE_EXHAUSTED", "INTERNAL", "internal error"),
    (errors.DeadlineExceeded, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "request deadline exceeded"),
    (
        errors.Unavailable,
        "UNAVAILABLE",
        "PLATFORM_UNAVAILABLE",
        "platform datastore unavailable — retry shortly",
    ),
    (errors.InternalError, "INTERNAL", "INTERNAL", "internal error"),
]


@pytest.mark.parametrize(("kind", "code", "reason", "message"), TABLE)
def test_every_class_has_its_code_reason_and_message(kind, code, reason, message):
    error = kind()

    assert (error.code.name, error.reason, error.domain) == (code, reason, "molecule.common.v1")
    assert (error.message, str(error), error.details, error.retry_in) == (message, message, {}, None)


def test_codes_have_the_numbers_of_grpc():
    assert {code.name: code.value for code in Code} == {
        code.name: code.value[0] for code in grpc.StatusCode if code.name in Code.__members__
    }


def test_every_code_has_one_class():
    assert {kind.code: kind for kind, *_ in TABLE[1:]} == errors.ERRORS_BY_CODE
    assert set(errors.ERRORS_BY_CODE) == set(Code)


def test_an_error_keeps_its_text_details_and_retry_time():
    details = {"a": [1]}
    error = errors.NotFound("missing", details=details, retry_in=timedelta(seconds=3))

    assert (error.message, str(error), error.details, error.retry_in) == (
        "missing",
        "missing",
        {"a": [1]},
        timedelta(seconds=3),
    )
    assert error.details is not details
    assert repr(error) == "NotFound(INTERNAL: missing)"


def test_an_empty_text_is_a_text():
    assert errors.PermissionDenied("").message == ""
