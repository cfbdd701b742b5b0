"""The RPCs of auth that the registry calls, in the registry's own types."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.auth.v1 import audit_pb2, audit_pb2_grpc, vault_pb2, vault_pb2_grpc
from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.workspace.audit import AuditRecord
from services.registry.workspace.model import Workspace, WorkspaceId

MAX_CONCURRENT_CALLS = 8
"""How many workspaces are barred or forgotten at a time."""

MAX_PLACEMENTS_PER_CALL = 1000
"""How many placements auth accepts in one call."""

HEALTH_TIMEOUT = timedelta(seconds=3)
"""Time for the health check of auth; longer than auth takes for its own probes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a registering agent lacks: a token where none is live, and the inbound secret."""

    auth_token: str | None = None
    token_id: str = ""
    inbound_secret: str | None = None
    agent_credential_keys: frozenset[str] | None = None
    """The names of the secrets with which the plane proves itself to the agent; `None` if auth did not tell them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretChange:
    """A change of a secret of one workspace, or of a global secret (`workspace_id` is `None`).

    A change of a global secret does not concern the workspaces in `overridden_by`, which have their own value.
    """

    id: int
    workspace_id: WorkspaceId | None
    overridden_by: frozenset[WorkspaceId] = frozenset()


@dataclass(frozen=True, slots=True)
class Keepalive:
    """A sign of life of a feed: there was no change."""


class AuthClient:
    """Calls auth. Every method but `issue_token` is idempotent; each raises `ServiceError`."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub = rpc.AuthServiceStub(channel.channel)
        self._audit = audit_pb2_grpc.AuditServiceStub(channel.channel)
        self._vault = vault_pb2_grpc.VaultServiceStub(channel.channel)

    async def is_serving(self) -> bool:
        """Whether auth can authorise callers now."""
        check = health_pb2_grpc.HealthStub(self._channel.channel).Check  # type: ignore[attr-defined] # made when the stub is
        try:
            answer = await self._channel.call(check, health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT)
        except ServiceError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def place_workspaces(self, workspaces: Sequence[tuple[WorkspaceId, WorkspaceId]]) -> None:
        """Tell auth of workspaces, each with its organisation, before they are committed."""
        for batch in _split(workspaces, MAX_PLACEMENTS_PER_CALL):
            request = pb.PlaceWorkspacesRequest(placements=_build_placements(batch))
            await self._channel.call(self._stub.PlaceWorkspaces, request)

    async def confirm_workspaces(self, workspaces: Sequence[Workspace]) -> None:
        """Tell auth that placed workspaces were committed."""
        for batch in _split([(one.id, one.org_id) for one in workspaces], MAX_PLACEMENTS_PER_CALL):
            request = pb.ConfirmWorkspacesRequest(placements=_build_placements(batch))
            await self._channel.call(self._stub.ConfirmWorkspaces, request)

    async def bar_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Revoke every token of the workspaces, and prevent new ones."""
        await _call_each(
            lambda one: self._channel.call(self._stub.BarWorkspace, pb.BarWorkspaceRequest(workspace_id=one)), ids
        )

    async def forget_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Erase what auth stores of workspaces that were not committed or are purged."""
        await _call_each(
            lambda one: self._channel.call(self._stub.ForgetWorkspace, pb.ForgetWorkspaceRequest(workspace_id=one)), ids
        )

    async def store_secrets(self, workspace_id: WorkspaceId, secrets: Mapping[str, str]) -> None:
        """Store the secrets with which a workspace is created."""
        request = vault_pb2.StoreSecretsRequest(workspace_id=workspace_id, secrets=secrets)
        await self._channel.call(self._vault.StoreSecrets, request)

    async def watch_secret_changes(self, after: int) -> AsyncGenerator[SecretChange | Keepalive, None]:
        """Yield the changes of secrets after the one with this id, in their order, and signs of life."""
        request = vault_pb2.WatchSecretChangesRequest(after=after)
        async with aclosing(self._channel.watch(self._vault.WatchSecretChanges, request)) as messages:
            async for message in messages:
                yield _build_secret_change(message.change) if message.HasField("change") else Keepalive()

    async def issue_token(self, workspace_id: WorkspaceId, *, org_token_id: str) -> str:
        """Return a new token for a workspace whose instance the plane does not start.

        It ends with the organisation token that created the workspace; `org_token_id` is empty for other creators.
        """
        request = pb.IssueTokenRequest(workspace_id=workspace_id, org_token_id=org_token_id)
        answer = await self._channel.call(self._stub.IssueToken, request)
        return str(answer.auth_token)

    async def revoke_token(self, workspace_id: WorkspaceId, token_id: str) -> None:
        """Revoke one token."""
        request = pb.RevokeTokensRequest(workspace_id=workspace_id, token_id=token_id)
        await self._channel.call(self._stub.RevokeTokens, request)

    async def ensure_credentials(self, workspace_id: WorkspaceId, *, anonymous: bool) -> Credentials:
        """Return what a registering agent lacks; auth refuses an `anonymous` agent once a token is live."""
        request = pb.EnsureCredentialsRequest(workspace_id=workspace_id, anonymous=anonymous)
        answer = await self._channel.call(self._stub.EnsureCredentials, request)
        return Credentials(
            auth_token=answer.auth_token if answer.HasField("auth_token") else None,
            token_id=answer.token_id,
            inbound_secret=answer.inbound_secret if answer.HasField("inbound_secret") else None,
            agent_credential_keys=frozenset(answer.agent_credential_keys),
        )

    async def list_global_keys(self) -> frozenset[str]:
        """Return the names of the global secrets."""
        answer = await self._channel.call(self._vault.ListGlobalKeys, vault_pb2.ListGlobalKeysRequest())
        return frozenset(answer.keys)

    async def append_audit_records(self, records: Sequence[AuditRecord]) -> None:
        """Append records to the audit log; auth ignores those that it has already."""
        request = audit_pb2.AppendAuditRecordsRequest(records=map(_build_audit_record, records))
        await self._channel.call(self._audit.AppendAuditRecords, request)


def _build_secret_change(change: vault_pb2.SecretChange) -> SecretChange:
    return SecretChange(
        id=change.id,
        workspace_id=WorkspaceId(change.workspace_id) if change.workspace_id else None,
        overridden_by=frozenset(WorkspaceId(workspace_id) for workspace_id in change.overridden_by),
    )


def _build_audit_record(record: AuditRecord) -> audit_pb2.AuditRecord:
    return audit_pb2.AuditRecord(
        id=record.id,
        at=timestamp_from_datetime(record.at),
        actor=record.actor,
        action=record.action,
        workspace_id=record.workspace_id,
        org_id=record.org_id,
        details=record.details.encode(),
    )


def _build_placements(workspaces: Sequence[tuple[WorkspaceId, WorkspaceId]]) -> list[pb.Placement]:
    return [pb.Placement(workspace_id=workspace_id, org_id=org_id) for workspace_id, org_id in workspaces]


async def _call_each(call: Callable[[WorkspaceId], Awaitable[object]], ids: Sequence[WorkspaceId]) -> None:
    for batch in _split(ids, MAX_CONCURRENT_CALLS):
        await asyncio.gather(*(call(workspace_id) for workspace_id in batch))


def _split(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in batches of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
