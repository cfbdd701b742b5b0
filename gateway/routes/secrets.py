"""Routes of secrets: of workspaces, global ones, and the renewal of their encryption."""

from collections.abc import Iterator

from gateway.guards import OWN, PLATFORM, READ, WRITE
from gateway.json_format import json_response
from gateway.request_body import BodySpec
from gateway.route import Call, Route
from gateway.schemas.secrets import (
    GlobalSecretChangeResult,
    NewSecret,
    ResealResult,
    SecretChangeResult,
    SecretLabel,
    render_label,
)
from protos.auth.v1 import vault_pb2 as pb
from protos.auth.v1 import vault_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

UNREADABLE_TEXT = "one or more secrets failed to decrypt; refusing to return partial bundle"

GLOBAL_SECRET_PATHS = {"/settings/secrets": ("PUT", "POST"), "/admin/secrets": ("POST",)}
"""The paths of global secrets, with the methods that set one."""


class SecretRoutes:
    """Routes to auth, which keeps the secrets."""

    def __init__(self, auth: ServiceChannel) -> None:
        self._auth = auth
        self._stub = rpc.VaultServiceStub(auth.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/secrets",
                handler=self.list_secrets,
                summary="The names of the secrets that apply to a workspace",
                guard=READ,
                answer=list[SecretLabel],
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/secrets/values",
                handler=self.read_values,
                summary="The values of all secrets that apply, for the workspace itself",
                guard=OWN,
                answer=dict[str, str],
                refusal_statuses=frozenset({404, 410}),
            ),
            *(
                Route(
                    method=method,
                    path="/workspaces/{id}/secrets",
                    handler=self.set,
                    summary="Set a secret of a workspace; it is restarted",
                    guard=WRITE,
                    body=BodySpec(model=NewSecret),
                    answer=SecretChangeResult,
                    refusal_statuses=frozenset({404, 410}),
                )
                for method in ("POST", "PUT")
            ),
            Route(
                method="DELETE",
                path="/workspaces/{id}/secrets/{key}",
                handler=self.delete,
                summary="Erase a secret of a workspace; it is restarted",
                guard=WRITE,
                answer=SecretChangeResult,
                refusal_statuses=frozenset({404, 410}),
            ),
            *self._global_table(),
            Route(
                method="POST",
                path="/admin/vault/reseal",
                handler=self.reseal,
                summary="Seal a batch of secrets anew with the newest key",
                guard=PLATFORM,
                answer=ResealResult,
                refusal_statuses=frozenset({409}),
            ),
        ]

    def _global_table(self) -> Iterator[Route]:
        for path, methods in GLOBAL_SECRET_PATHS.items():
            yield Route(
                method="GET",
                path=path,
                handler=self.list_secrets,
                summary="The names of the global secrets",
                guard=PLATFORM,
                answer=list[SecretLabel],
            )
            for method in methods:
                yield Route(
                    method=method,
                    path=path,
                    handler=self.set_global,
                    summary="Set a global secret; workspaces without their own are restarted",
                    guard=PLATFORM,
                    body=BodySpec(model=NewSecret),
                    answer=GlobalSecretChangeResult,
                )
            yield Route(
                method="DELETE",
                path=f"{path}/{{key}}",
                handler=self.delete_global,
                summary="Erase a global secret; workspaces without their own are restarted",
                guard=PLATFORM,
                answer=GlobalSecretChangeResult,
                refusal_statuses=frozenset({404}),
            )

    async def list_secrets(self, call: Call) -> object:
        """List the secrets of a workspace or the global ones; one page holds all of them."""
        request = pb.ListSecretsRequest(workspace_id=call.workspace_id)
        reply: pb.ListSecretsResponse = await self._auth.call(
            self._stub.ListSecrets, request, on_behalf_of=call.identity
        )
        return [render_label(message) for message in reply.secrets]

    async def read_values(self, call: Call) -> object:
        """Return all values, or an error if one cannot be decrypted."""
        request = pb.ReadSecretsRequest(workspace_id=call.workspace_id)
        reply: pb.ReadSecretsResponse = await self._auth.call(
            self._stub.ReadSecrets, request, on_behalf_of=call.identity
        )
        if reply.failed_keys:
            return json_response({"error": UNREADABLE_TEXT, "failed_keys": list(reply.failed_keys)}, 500)
        return dict(sorted(reply.values.items()))

    async def set(self, call: Call) -> object:
        """Set a secret of a workspace."""
        await self._set(call)
        return SecretChangeResult(key=call.body.key, status="saved")

    async def set_global(self, call: Call) -> object:
        """Set a global secret."""
        await self._set(call)
        return GlobalSecretChangeResult(key=call.body.key, scope="global", status="saved")

    async def delete(self, call: Call) -> object:
        """Delete a secret of a workspace."""
        await self._delete(call)
        return SecretChangeResult(key=call.path["key"], status="deleted")

    async def delete_global(self, call: Call) -> object:
        """Delete a global secret."""
        await self._delete(call)
        return GlobalSecretChangeResult(key=call.path["key"], scope="global", status="deleted")

    async def reseal(self, call: Call) -> object:
        """Encrypt a batch of secrets with the newest key."""
        reply: pb.ResealResponse = await self._auth.call(
            self._stub.Reseal, pb.ResealRequest(), on_behalf_of=call.identity
        )
        return ResealResult(resealed=reply.resealed, remaining=reply.remaining, key_version=reply.key_version)

    async def _set(self, call: Call) -> None:
        request = pb.SetSecretRequest(workspace_id=call.workspace_id, key=call.body.key, value=call.body.value)
        await self._auth.call(self._stub.SetSecret, request, on_behalf_of=call.identity)

    async def _delete(self, call: Call) -> None:
        request = pb.DeleteSecretRequest(workspace_id=call.workspace_id, key=call.path["key"])
        await self._auth.call(self._stub.DeleteSecret, request, on_behalf_of=call.identity)
