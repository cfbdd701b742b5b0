"""Secrets over HTTP: their exact bodies, and no value where none belongs."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import vault_pb2 as pb
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.gateway.fake_services import ADMIN, workspace

W = "11111111-1111-4111-8111-111111111111"

STAMP = "1970-01-01T00:00:01.000000Z"

GLOBAL = [("PUT", "/settings/secrets"), ("POST", "/settings/secrets"), ("POST", "/admin/secrets")]


def raised(error, reason, text, **details):
    fault = error(text, details=details)
    fault.domain, fault.reason = "molecule.auth.v1", reason
    return fault


def listed(key, *, is_global):
    return pb.Secret(key=key, is_global=is_global, created_at=Timestamp(seconds=1), updated_at=Timestamp(seconds=1))


async def test_a_list_has_names_of_secrets_and_no_value(plane):
    plane.vault.replies["ListSecrets"] = pb.ListSecretsResponse(
        secrets=[listed("OWN", is_global=False), listed("SHARED", is_global=True)]
    )

    answer = await plane.http.get(f"/workspaces/{W}/secrets")

    dates = {"created_at": STAMP, "updated_at": STAMP}
    assert answer.json() == [
        {"key": "OWN", "has_value": True, "scope": "workspace", **dates},
        {"key": "SHARED", "has_value": True, "scope": "global", **dates},
    ]
    assert plane.vault.received[0].request == pb.ListSecretsRequest(workspace_id=W)


@pytest.mark.covers("ENV-02")
async def test_a_list_names_the_secrets_that_agents_do_not_receive(plane):
    reserved = listed("SSLKEYLOGFILE", is_global=True)
    reserved.is_reserved = True
    plane.vault.replies["ListSecrets"] = pb.ListSecretsResponse(secrets=[reserved, listed("OWN", is_global=False)])

    answer = await plane.http.get(f"/workspaces/{W}/secrets")

    assert [secret.get("reserved") for secret in answer.json()] == [True, None]


@pytest.mark.parametrize("path", ["/settings/secrets", "/admin/secrets"])
async def test_global_secrets_are_listed_alone(plane, path):
    plane.vault.replies["ListSecrets"] = pb.ListSecretsResponse(secrets=[listed("SHARED", is_global=True)])

    answer = await plane.http.get(path)

    assert [secret["scope"] for secret in answer.json()] == ["global"]
    assert plane.vault.received[0].request == pb.ListSecretsRequest()


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_secret_is_set_and_not_repeated(plane, method):
    answer = await plane.http.request(method, f"/workspaces/{W}/secrets", json={"key": "KEY", "value": "marker"})

    assert (answer.status_code, answer.json()) == (200, {"key": "KEY", "status": "saved"})
    [asked] = plane.vault.received
    assert asked.request == pb.SetSecretRequest(workspace_id=W, key="KEY", value="marker")


@pytest.mark.covers("REG-62")
@pytest.mark.parametrize(("method", "path"), GLOBAL)
async def test_a_global_secret_is_set(plane, method, path):
    answer = await plane.http.request(method, path, json={"key": "KEY", "value": "marker"})

    assert answer.json() == {"key": "KEY", "scope": "global", "status": "saved"}
    assert plane.vault.received[0].request == pb.SetSecretRequest(key="KEY", value="marker")


async def test_a_secret_is_deleted(plane):
    answer = await plane.http.delete(f"/workspaces/{W}/secrets/KEY")

    assert answer.json() == {"key": "KEY", "status": "deleted"}
    assert plane.vault.received[0].request == pb.DeleteSecretRequest(workspace_id=W, key="KEY")


@pytest.mark.parametrize("path", ["/settings/secrets", "/admin/secrets"])
async def test_a_global_secret_is_deleted(plane, path):
    answer = await plane.http.delete(f"{path}/KEY")

    assert answer.json() == {"key": "KEY", "scope": "global", "status": "deleted"}
    assert plane.vault.received[0].request == pb.DeleteSecretRequest(key="KEY")


async def test_an_unknown_secret_is_not_found(plane):
    plane.vault.replies["DeleteSecret"] = raised(NotFound, "SECRET_NOT_FOUND", "secret not found")

    answer = await plane.http.delete("/settings/secrets/KEY")

    assert (answer.status_code, answer.json()) == (404, {"error": "secret not found"})


@pytest.mark.parametrize(
    "body", [{}, {"key": "K"}, {"value": "v"}, {"key": "", "value": "v"}, {"key": "K", "value": ""}]
)
async def test_a_secret_needs_a_name_and_a_value(plane, body):
    answer = await plane.http.post("/settings/secrets", json=body)

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid request body"})
    assert plane.vault.received == []


async def test_a_limit_of_secrets_is_refused_with_the_text_of_auth(plane):
    plane.vault.replies["SetSecret"] = raised(InvalidArgument, "INVALID_SECRET", "reserved secret key")

    answer = await plane.http.post("/settings/secrets", json={"key": "PATH", "value": "v"})

    assert (answer.status_code, answer.json()) == (400, {"error": "reserved secret key"})


@pytest.fixture
def mine(plane):
    plane.auth.known["b"] = workspace(W)
    return {"Authorization": "Bearer b"}


async def test_the_workspace_reads_its_values(plane, mine):
    plane.vault.replies["ReadSecrets"] = pb.ReadSecretsResponse(values={"B": "2", "A": "1"})

    answer = await plane.http.get(f"/workspaces/{W}/secrets/values", headers=mine)

    assert answer.content == b'{"A":"1","B":"2"}'
    assert plane.vault.received[0].caller == workspace(W)


async def test_unreadable_values_are_answered_by_name_without_any_value(plane, mine):
    plane.vault.replies["ReadSecrets"] = pb.ReadSecretsResponse(failed_keys=["global:K", "workspace:L"])

    answer = await plane.http.get(f"/workspaces/{W}/secrets/values", headers=mine)

    assert (answer.status_code, answer.json()) == (
        500,
        {
            "error": "one or more secrets failed to decrypt; refusing to return partial bundle",
            "failed_keys": ["global:K", "workspace:L"],
        },
    )


async def test_a_reseal_answers_its_progress(plane):
    plane.vault.replies["Reseal"] = pb.ResealResponse(resealed=100, remaining=7, key_version="2")
    plane.auth.known["b"] = ADMIN

    answer = await plane.http.post("/admin/vault/reseal", headers={"Authorization": "Bearer b"})

    assert answer.json() == {"resealed": 100, "remaining": 7, "key_version": "2"}


async def test_an_unreadable_batch_is_refused_with_its_key_version(plane):
    text = "a stored secret cannot be opened with the present keys"
    plane.vault.replies["Reseal"] = raised(FailedPrecondition, "RESEAL_REFUSED", text, key_version="99")

    answer = await plane.http.post("/admin/vault/reseal")

    assert (answer.status_code, answer.json()) == (409, {"error": text, "key_version": "99"})
