"""The registry and auth, as the provisioner calls them: protobuf becomes the provisioner's own model here."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from typing import assert_never

import structlog

from protos.auth.v1 import auth_pb2, auth_pb2_grpc, vault_pb2, vault_pb2_grpc
from protos.registry.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    lifecycle_pb2,
    lifecycle_pb2_grpc,
    provisioning_pb2,
    provisioning_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
    templates_pb2,
    templates_pb2_grpc,
)
from services.chassis.clients import ServiceChannel
from services.chassis.errors import FailedPrecondition, NotFound, ServiceError
from services.chassis.timestamps import duration_from_timedelta, timestamp_from_datetime
from services.provisioner.errors import GlobalSecretUnreadable, StartFailed, WorkspaceSecretUnreadable
from services.provisioner.model import (
    DEFAULT_TIER,
    Credentials,
    DesiredInstance,
    DesiredState,
    Fact,
    FeedSignal,
    Files,
    InstanceExited,
    InstanceSkipped,
    InstanceStarted,
    InstanceStopFailed,
    InstanceStopped,
    PluginChange,
    Provider,
    ProvisioningFailed,
    ProvisioningPossible,
    ProvisioningReport,
    Runtime,
    Secrets,
    StartState,
    WorkspaceId,
)

AUTOMATIC_RESTART_REASON = "auto_restart"
"""The status reason of a restart that no caller requested (docs/spec/rest.md, section 7)."""

log = structlog.get_logger()


MAX_WORKSPACES_PER_CALL = 1_000
"""Workspaces in one request to auth."""


FAILED_START_REASON = "provision_error"
"""The status reason of a workspace whose instance could not be started."""


REQUESTED_START_REASONS = frozenset({"restart_requested", "resume_requested", "wake"})
"""The status reasons of starts for which a caller waits."""


UNREADABLE_INBOUND_SECRET = "SECRET_UNREADABLE"  # noqa: S105 - the reason of an error
"""Auth's reason for an inbound secret that it cannot decrypt."""


class RegistryClient:
    """Calls the registry."""

    def __init__(self, channel: ServiceChannel, *, backend: str) -> None:
        self._channel = channel
        self._registry = registry_pb2_grpc.RegistryServiceStub(channel.channel)
        self._templates = templates_pb2_grpc.TemplateServiceStub(channel.channel)
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(channel.channel)
        self._lifecycle = lifecycle_pb2_grpc.LifecycleServiceStub(channel.channel)
        self._provisioning = provisioning_pb2_grpc.ProvisioningServiceStub(channel.channel)
        self._backend = backend

    async def watch(self) -> AsyncGenerator[DesiredInstance | FeedSignal, None]:
        """Yield every desired instance, then SNAPSHOT_DONE, then each change, with KEEPALIVE on an idle feed.

        Raises a `ServiceError` when the feed breaks.
        """
        request = registry_pb2.WatchWorkspacesRequest(after_revision=0, backend=self._backend)
        async for message in self._channel.watch(self._registry.WatchWorkspaces, request):
            match message.WhichOneof("update"):
                case "changed":
                    yield _desired_instance_from_proto(message.changed)
                case "snapshot_done":
                    yield FeedSignal.SNAPSHOT_DONE
                case _:
                    yield FeedSignal.KEEPALIVE

    async def report_fact(self, workspace_id: WorkspaceId, fact: Fact) -> None:
        """Report a fact. The registry ignores repeated facts and facts of another generation.

        A fact of a workspace that the registry does not know, because it was purged, is dropped.
        """
        request = registry_pb2.ReportFactRequest(workspace_id=workspace_id, generation=fact.generation)
        match fact:
            case InstanceStarted():
                request.instance_started.backend = self._backend
                request.instance_started.address = fact.address
                request.instance_started.reference = fact.reference
            case InstanceSkipped():
                request.instance_skipped.backend = self._backend
            case InstanceExited():
                request.instance_exited.CopyFrom(
                    registry_pb2.InstanceExited(exit_code=fact.exit_code, reference=fact.reference)
                )
            case InstanceStopped():
                request.instance_stopped.SetInParent()
            case InstanceStopFailed():
                request.stop_failed.text = fact.text
            case ProvisioningFailed():
                request.provisioning_failed.error = fact.error
                request.provisioning_failed.missing.extend(fact.missing)
            case ProvisioningPossible():
                request.provisioning_possible.SetInParent()
            case _:
                assert_never(fact)
        try:
            await self._channel.call(self._registry.ReportFact, request)
        except NotFound:
            log.info("fact of an unknown workspace dropped", workspace=workspace_id, fact=type(fact).__name__)

    async def report_provisioning(self, reports: Sequence[ProvisioningReport]) -> None:
        """Report where starts stand. The registry drops reports of unknown workspaces and of other generations."""
        request = provisioning_pb2.ReportProvisioningRequest(reports=[_report_to_proto(report) for report in reports])
        await self._channel.call(self._provisioning.ReportProvisioning, request)

    async def get_starter_files(self, desired: DesiredInstance) -> Files:
        """Return the workspace's starter files. A workspace without any costs no call."""
        if not desired.files_digest:
            return ()
        return tuple(sorted((await self.read_starter_files(desired.workspace_id)).items()))

    async def read_starter_files(self, workspace_id: WorkspaceId) -> Mapping[str, str]:
        """Return the content of a workspace's starter files by path; none if it has none."""
        request = templates_pb2.GetInstanceFilesRequest(workspace_id=workspace_id)
        answer = await self._channel.call(self._templates.GetInstanceFiles, request)
        return dict(answer.files)

    async def find_org_id(self, workspace_id: WorkspaceId) -> str | None:
        """Return the organisation of a workspace; `None` if the workspace does not exist, or was removed."""
        request = registry_pb2.GetWorkspaceRequest(workspace_id=workspace_id)
        try:
            answer = await self._channel.call(self._registry.GetWorkspace, request)
        except NotFound:
            return None
        is_removed = answer.workspace.status == registry_pb2.WORKSPACE_STATUS_REMOVED
        return None if is_removed else str(answer.workspace.org_id)

    async def find_runtime(self, workspace_id: WorkspaceId) -> str:
        """Return the name of a workspace's runtime; empty if the workspace does not exist."""
        request = registry_pb2.GetWorkspaceRequest(workspace_id=workspace_id)
        try:
            return str((await self._channel.call(self._registry.GetWorkspace, request)).workspace.runtime)
        except NotFound:
            return ""

    async def renew(self, workspace_id: WorkspaceId, actor: str, changes: Sequence[PluginChange]) -> None:
        """Have changes of plugins recorded, and request a new instance; nothing happens if it was removed.

        `actor` made the changes, as in an audit record.
        """
        request = lifecycle_pb2.RenewWorkspaceRequest(
            workspace_id=workspace_id,
            actor=actor,
            changes=[
                lifecycle_pb2.PluginChange(
                    plugin=one.plugin, is_installed=one.is_installed, source=one.source, sha256=one.sha256
                )
                for one in changes
            ],
        )
        try:
            await self._channel.call(self._lifecycle.RenewWorkspace, request)
        except NotFound:
            log.info("workspace to restart is unknown", workspace=workspace_id)

    async def get_runtime(self, name: str) -> Runtime:
        """Return a runtime of the catalogue."""
        request = catalog_pb2.GetRuntimeRequest(runtime=name)
        return _runtime_from_proto(await self._channel.call(self._catalog.GetRuntime, request))

    async def read_images(self) -> dict[str, str]:
        """Return the image of each runtime that can be started; empty for that of the backend."""
        answer = await self._channel.call(self._catalog.ReadImages, catalog_pb2.ReadImagesRequest())
        return {found.runtime: found.image for found in answer.images}

    async def restart(self, workspace_id: WorkspaceId) -> None:
        """Request a new instance, with new credentials; raises a `ServiceError` if the workspace gets none now."""
        request = lifecycle_pb2.RestartWorkspaceRequest(workspace_id=workspace_id)
        await self._channel.call(self._lifecycle.RestartWorkspace, request)

    async def read_start_state(self, workspace_id: WorkspaceId) -> StartState:
        """Return how the latest start of a workspace stands; that of an unknown workspace is over."""
        request = registry_pb2.GetWorkspaceRequest(workspace_id=workspace_id)
        try:
            answer = await self._channel.call(self._registry.GetWorkspace, request)
        except NotFound:
            return StartState.OVER
        return _START_STATES.get(answer.workspace.status, StartState.OVER)


class AuthClient:
    """Calls auth."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._auth = auth_pb2_grpc.AuthServiceStub(channel.channel)
        self._vault = vault_pb2_grpc.VaultServiceStub(channel.channel)

    async def read_secrets(self, workspace_id: WorkspaceId) -> Secrets:
        """Return the secrets for an instance; raises `GlobalSecretUnreadable` or `WorkspaceSecretUnreadable`."""
        request = vault_pb2.ReadEnvironmentRequest(workspace_id=workspace_id)
        try:
            answer = await self._channel.call(self._vault.ReadEnvironment, request)
        except FailedPrecondition as error:
            raise _UNREADABLE_SECRET_ERRORS.get(error.reason, StartFailed) from None
        return Secrets(global_secrets=dict(answer.global_secrets), workspace_secrets=dict(answer.workspace_secrets))

    async def issue_credentials(self, workspace_id: WorkspaceId, generation: int) -> Credentials:
        """Issue credentials for an instance. This revokes every earlier token, and replaces the inbound secret.

        Raises `WorkspaceSecretUnreadable`, and changes nothing, if the present inbound secret cannot be decrypted.
        """
        await self.read_inbound_secret(workspace_id)
        issue = auth_pb2.IssueTokenRequest(workspace_id=workspace_id, generation=generation)
        issued = await self._channel.call(self._auth.IssueToken, issue)
        return Credentials(issued.auth_token, await self.read_inbound_secret(workspace_id))

    async def read_inbound_secret(self, workspace_id: WorkspaceId) -> str:
        """Return the secret that the plane presents to the workspace; raises `WorkspaceSecretUnreadable`."""
        request = auth_pb2.ReadOrHealInboundSecretRequest(workspace_id=workspace_id)
        try:
            answer = await self._channel.call(self._auth.ReadOrHealInboundSecret, request)
        except FailedPrecondition as error:
            raise (WorkspaceSecretUnreadable if error.reason == UNREADABLE_INBOUND_SECRET else error) from None
        return str(answer.inbound_secret)

    async def revoke_stale_tokens(self, workspace_ids: Sequence[WorkspaceId], *, unused_for: timedelta) -> int:
        """Revoke the tokens of instances of these workspaces that were not used for a time; return how many."""
        revoked = 0
        for start in range(0, len(workspace_ids), MAX_WORKSPACES_PER_CALL):
            request = auth_pb2.RevokeStaleTokensRequest(
                workspace_ids=workspace_ids[start : start + MAX_WORKSPACES_PER_CALL],
                unused_for=duration_from_timedelta(unused_for),
            )
            revoked += (await self._channel.call(self._auth.RevokeStaleTokens, request)).revoked
        return revoked


def _desired_instance_from_proto(record: registry_pb2.WorkspaceRecord) -> DesiredInstance:
    return DesiredInstance(
        workspace_id=WorkspaceId(record.id),
        generation=record.generation,
        state=_DESIRED_STATES.get(record.desired_state, DesiredState.UNTOUCHED),
        runtime=record.runtime,
        adapter_module=record.adapter_module,
        command=tuple(record.command),
        image=record.image,
        model=record.model if record.HasField("model") else None,
        parent_id=record.parent_id if record.HasField("parent_id") else None,
        tier=record.tier or DEFAULT_TIER,
        org_id=record.org_id,
        external=record.external,
        is_automatic_restart=record.status_reason == AUTOMATIC_RESTART_REASON,
        has_failed_start=record.status_reason == FAILED_START_REASON,
        reference=record.instance_reference,
        files_digest=record.starter_files,
        is_provisioning=record.status == registry_pb2.WORKSPACE_STATUS_PROVISIONING,
        plugins=tuple(record.brief.plugins),
        is_requested_start=record.status_reason in REQUESTED_START_REASONS,
    )


def _report_to_proto(report: ProvisioningReport) -> provisioning_pb2.ProvisioningReport:
    return provisioning_pb2.ProvisioningReport(
        workspace_id=report.workspace_id,
        generation=report.generation,
        step=report.step,
        reason=report.reason,
        missing=report.missing,
        next_attempt_at=timestamp_from_datetime(report.next_attempt_at) if report.next_attempt_at else None,
        events=[
            registry_pb2.BackendEvent(at=timestamp_from_datetime(event.at), kind=event.kind, exit_code=event.exit_code)
            for event in report.events
        ],
    )


def _runtime_from_proto(message: catalog_pb2.GetRuntimeResponse) -> Runtime:
    return Runtime(
        required=tuple(tuple(variable.any_of) for variable in message.required),
        speaks_anthropic=message.speaks_anthropic,
        model_variables=tuple(message.model_variables),
        provider_variable=message.provider_variable,
        providers=tuple(
            Provider(
                name=provider.name,
                prefixes=tuple(provider.model_prefixes),
                keys=tuple(provider.keys),
                anthropic_url=provider.anthropic_url,
            )
            for provider in message.providers
        ),
    )


_UNREADABLE_SECRET_ERRORS: Mapping[str, type[ServiceError]] = {
    error.reason: error for error in (GlobalSecretUnreadable, WorkspaceSecretUnreadable)
}
"""The errors by reason: auth uses the same reasons."""

_START_STATES = {
    registry_pb2.WORKSPACE_STATUS_PROVISIONING: StartState.UNDER_WAY,
    registry_pb2.WORKSPACE_STATUS_FAILED: StartState.FAILED,
}
"""In every other status the start is over."""

_DESIRED_STATES = {
    registry_pb2.DESIRED_STATE_RUNNING: DesiredState.RUNNING,
    registry_pb2.DESIRED_STATE_STOPPED: DesiredState.STOPPED,
    registry_pb2.DESIRED_STATE_UNTOUCHED: DesiredState.UNTOUCHED,
    registry_pb2.DESIRED_STATE_FORGOTTEN: DesiredState.FORGOTTEN,
}
"""A value that is missing here leaves the instance untouched."""
