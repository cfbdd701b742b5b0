"""What the provisioner asks of the registry and of auth, in its own words."""

from collections.abc import AsyncGenerator, Mapping
from typing import assert_never

from protos.auth.v1 import auth_pb2, auth_pb2_grpc, vault_pb2, vault_pb2_grpc
from protos.registry.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
    templates_pb2,
    templates_pb2_grpc,
)
from services.chassis.clients import ServiceChannel
from services.chassis.errors import FailedPrecondition, NotFound, ServiceError
from services.provisioner.errors import GlobalSecretUnreadable, StartFailed, WorkspaceSecretUnreadable
from services.provisioner.model import (
    Credentials,
    DesiredState,
    Exited,
    Fact,
    Failed,
    Files,
    Provider,
    Runtime,
    Secrets,
    Sign,
    Skipped,
    Started,
    Stopped,
    StopRefused,
    Wish,
    WorkspaceId,
)

AUTOMATIC = "auto_restart"
"""The reason of a restart that nobody asked for (docs/spec/rest.md, section 7)."""


class Registry:
    """The book, as the provisioner sees it."""

    def __init__(self, line: ServiceChannel, *, backend: str) -> None:
        self._line = line
        self._stub = registry_pb2_grpc.RegistryServiceStub(line.channel)
        self._templates = templates_pb2_grpc.TemplateServiceStub(line.channel)
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(line.channel)
        self._backend = backend

    async def watch(self) -> AsyncGenerator[Wish | Sign, None]:
        """Every wish, then `WHOLE`, then each wish that changes; `ALIVE` in between. Raises when the feed breaks."""
        request = registry_pb2.WatchWorkspacesRequest(after_revision=0, backend=self._backend)
        async for message in self._line.watch(self._stub.WatchWorkspaces, request):
            match message.WhichOneof("update"):
                case "changed":
                    yield _wish(message.changed)
                case "snapshot_done":
                    yield Sign.WHOLE
                case _:
                    yield Sign.ALIVE

    async def report(self, workspace_id: WorkspaceId, fact: Fact) -> None:
        """Tell a fact. Telling it again changes nothing, and neither does one of another generation."""
        request = registry_pb2.ReportFactRequest(workspace_id=workspace_id, generation=fact.generation)
        match fact:
            case Started():
                request.instance_started.backend = self._backend
                request.instance_started.address = fact.address
                request.instance_started.reference = fact.reference
            case Skipped():
                request.instance_skipped.backend = self._backend
            case Exited():
                request.instance_exited.CopyFrom(registry_pb2.InstanceExited(exit_code=fact.exit_code))
            case Stopped():
                request.instance_stopped.SetInParent()
            case StopRefused():
                request.stop_failed.text = fact.text
            case Failed():
                request.provisioning_failed.error = fact.error
                request.provisioning_failed.missing.extend(fact.missing)
            case _:
                assert_never(fact)
        await self._line.call(self._stub.ReportFact, request)

    async def files(self, wish: Wish) -> Files:
        """What a first instance of the workspace starts with; nothing is asked where there is nothing."""
        if not wish.kit:
            return ()
        request = templates_pb2.GetInstanceFilesRequest(workspace_id=wish.workspace_id)
        answer = await self._line.call(self._templates.GetInstanceFiles, request)
        return tuple(sorted(answer.files.items()))

    async def org_of(self, workspace_id: WorkspaceId) -> str | None:
        """The organisation a workspace belongs to; `None` where there is no such workspace."""
        request = registry_pb2.GetWorkspaceRequest(workspace_id=workspace_id)
        try:
            answer = await self._line.call(self._stub.GetWorkspace, request)
        except NotFound:
            return None
        return str(answer.workspace.org_id)

    async def runtime(self, name: str) -> Runtime:
        """What the catalogue says of a runtime."""
        return _runtime(await self._line.call(self._catalog.GetRuntime, catalog_pb2.GetRuntimeRequest(runtime=name)))


class Auth:
    """The keys, as the provisioner sees them."""

    def __init__(self, line: ServiceChannel) -> None:
        self._line = line
        self._stub = auth_pb2_grpc.AuthServiceStub(line.channel)
        self._vault = vault_pb2_grpc.VaultServiceStub(line.channel)

    async def secrets(self, workspace_id: WorkspaceId) -> Secrets:
        """What users want the agent to know; raises `GlobalSecretUnreadable` or `WorkspaceSecretUnreadable`."""
        request = vault_pb2.ReadEnvironmentRequest(workspace_id=workspace_id)
        try:
            answer = await self._line.call(self._vault.ReadEnvironment, request)
        except FailedPrecondition as refusal:
            raise _UNREADABLE.get(refusal.reason, StartFailed) from None
        return Secrets(of_all=dict(answer.global_secrets), own=dict(answer.workspace_secrets))

    async def credentials(self, workspace_id: WorkspaceId, generation: int) -> Credentials:
        """Fresh credentials for an instance. Every earlier token of the workspace is void from now on."""
        issue = auth_pb2.IssueTokenRequest(workspace_id=workspace_id, generation=generation)
        issued = await self._line.call(self._stub.IssueToken, issue)
        read = auth_pb2.ReadOrHealInboundSecretRequest(workspace_id=workspace_id)
        secret = await self._line.call(self._stub.ReadOrHealInboundSecret, read)
        return Credentials(issued.auth_token, secret.inbound_secret)


def _wish(record: registry_pb2.WorkspaceRecord) -> Wish:
    return Wish(
        workspace_id=WorkspaceId(record.id),
        generation=record.generation,
        desire=_DESIRES.get(record.desired_state, DesiredState.UNTOUCHED),
        runtime=record.runtime,
        adapter_module=record.adapter_module,
        model=record.model if record.HasField("model") else None,
        parent_id=record.parent_id if record.HasField("parent_id") else None,
        external=record.external,
        automatic=record.status_reason == AUTOMATIC,
        reference=record.instance_reference,
        kit=record.starter_files,
    )


def _runtime(message: catalog_pb2.GetRuntimeResponse) -> Runtime:
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


_UNREADABLE: Mapping[str, type[ServiceError]] = {
    refusal.reason: refusal for refusal in (GlobalSecretUnreadable, WorkspaceSecretUnreadable)
}
"""Auth gives these refusals the same reasons."""

_DESIRES = {
    registry_pb2.DESIRED_STATE_RUNNING: DesiredState.RUNNING,
    registry_pb2.DESIRED_STATE_STOPPED: DesiredState.STOPPED,
    registry_pb2.DESIRED_STATE_UNTOUCHED: DesiredState.UNTOUCHED,
    registry_pb2.DESIRED_STATE_FORGOTTEN: DesiredState.FORGOTTEN,
}
"""A desire that is not known here is no reason to touch anything."""
