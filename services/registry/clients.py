"""What the registry asks of auth."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import audit_pb2, audit_pb2_grpc, vault_pb2, vault_pb2_grpc
from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.registry.workspace.audit import AuditRecord
from services.registry.workspace.model import Workspace, WorkspaceId

MAX_CONCURRENT_CALLS = 8
"""How many workspaces are barred or forgotten at a time."""

MAX_PLACEMENTS_PER_CALL = 1000
"""Placements that auth takes in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a registering agent lacked: a token where none was live, and the secret the plane shows to it."""

    auth_token: str | None = None
    token_id: str = ""
    inbound_secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretChange:
    """A secret was set or erased: one workspace's, or a global one, which does not reach those that override it."""

    id: int
    workspace_id: WorkspaceId | None
    overridden_by: frozenset[WorkspaceId] = frozenset()


class AuthClient:
    """Auth, as the registry sees it. Everything here is idempotent but `issue_token`."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub = rpc.AuthServiceStub(channel.channel)
        self._audit = audit_pb2_grpc.AuditServiceStub(channel.channel)
        self._vault = vault_pb2_grpc.VaultServiceStub(channel.channel)

    async def place_workspaces(self, workspaces: Sequence[tuple[WorkspaceId, WorkspaceId]]) -> None:
        """Make workspaces known, each with its organisation, before they are committed."""
        for some in _batches(workspaces):
            await self._channel.call(self._stub.PlaceWorkspaces, pb.PlaceWorkspacesRequest(placements=some))

    async def confirm_workspaces(self, workspaces: Sequence[Workspace]) -> None:
        """Say that placed workspaces were committed."""
        for some in _batches([(workspace.id, workspace.org_id) for workspace in workspaces]):
            await self._channel.call(self._stub.ConfirmWorkspaces, pb.ConfirmWorkspacesRequest(placements=some))

    async def bar_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Revoke every token of the workspaces, and let none be issued again."""
        await self._each(self._bar, ids)

    async def forget_workspaces(self, ids: Sequence[WorkspaceId]) -> None:
        """Erase what auth knows of workspaces that were not committed or are purged."""
        await self._each(self._forget, ids)

    async def store_secrets(self, workspace_id: WorkspaceId, secrets: Mapping[str, str]) -> None:
        """Keep what a workspace is created with."""
        request = vault_pb2.StoreSecretsRequest(workspace_id=workspace_id, secrets=secrets)
        await self._channel.call(self._vault.StoreSecrets, request)

    async def watch_secret_changes(self, after: int) -> AsyncGenerator[SecretChange | None, None]:
        """The changes of secrets after one of them, in their order; `None` for a sign of life."""
        request = vault_pb2.WatchSecretChangesRequest(after=after)
        async for message in self._channel.watch(self._vault.WatchSecretChanges, request):
            yield _build_secret_change(message.change) if message.HasField("change") else None

    async def issue_token(self, workspace_id: WorkspaceId) -> str:
        """A token for a workspace whose instance the plane does not start."""
        answer = await self._channel.call(self._stub.IssueToken, pb.IssueTokenRequest(workspace_id=workspace_id))
        return str(answer.auth_token)

    async def revoke_token(self, workspace_id: WorkspaceId, token_id: str) -> None:
        """Revoke one token."""
        request = pb.RevokeTokensRequest(workspace_id=workspace_id, token_id=token_id)
        await self._channel.call(self._stub.RevokeTokens, request)

    async def ensure_credentials(self, workspace_id: WorkspaceId, *, anonymous: bool) -> Credentials:
        """Return what a registering agent lacks; refused for an `anonymous` agent once a token is live."""
        request = pb.EnsureCredentialsRequest(workspace_id=workspace_id, anonymous=anonymous)
        answer = await self._channel.call(self._stub.EnsureCredentials, request)
        return Credentials(
            auth_token=answer.auth_token if answer.HasField("auth_token") else None,
            token_id=answer.token_id,
            inbound_secret=answer.inbound_secret if answer.HasField("inbound_secret") else None,
        )

    async def list_global_keys(self) -> frozenset[str]:
        """The names of the secrets that every workspace has."""
        answer = await self._channel.call(self._vault.ListGlobalKeys, vault_pb2.ListGlobalKeysRequest())
        return frozenset(answer.keys)

    async def append_audit_records(self, deeds: Sequence[AuditRecord]) -> None:
        """Tell the audit what was done; what it knows already it keeps as it is."""
        await self._channel.call(
            self._audit.AppendAuditRecords, audit_pb2.AppendAuditRecordsRequest(records=map(_build_audit_record, deeds))
        )

    async def _bar(self, workspace_id: WorkspaceId) -> None:
        await self._channel.call(self._stub.BarWorkspace, pb.BarWorkspaceRequest(workspace_id=workspace_id))

    async def _forget(self, workspace_id: WorkspaceId) -> None:
        await self._channel.call(self._stub.ForgetWorkspace, pb.ForgetWorkspaceRequest(workspace_id=workspace_id))

    async def _each(self, ask: Callable[[WorkspaceId], Awaitable[None]], ids: Sequence[WorkspaceId]) -> None:
        for start in range(0, len(ids), MAX_CONCURRENT_CALLS):
            await asyncio.gather(*(ask(workspace_id) for workspace_id in ids[start : start + MAX_CONCURRENT_CALLS]))


def _build_secret_change(change: vault_pb2.SecretChange) -> SecretChange:
    return SecretChange(
        id=change.id,
        workspace_id=WorkspaceId(change.workspace_id) if change.workspace_id else None,
        overridden_by=frozenset(WorkspaceId(workspace_id) for workspace_id in change.overridden_by),
    )


def _build_audit_record(deed: AuditRecord) -> audit_pb2.AuditRecord:
    at = Timestamp()
    at.FromDatetime(deed.at)
    return audit_pb2.AuditRecord(
        id=deed.id,
        at=at,
        actor=deed.actor,
        action=deed.action,
        workspace_id=deed.workspace_id,
        org_id=deed.org_id,
        details=deed.details.encode(),
    )


def _batches(workspaces: Sequence[tuple[WorkspaceId, WorkspaceId]]) -> Iterator[list[pb.Placement]]:
    for start in range(0, len(workspaces), MAX_PLACEMENTS_PER_CALL):
        yield [
            pb.Placement(workspace_id=one, org_id=org)
            for one, org in workspaces[start : start + MAX_PLACEMENTS_PER_CALL]
        ]
