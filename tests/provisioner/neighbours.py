"""The neighbours of the provisioner, as far as it knows them: small, real servicers behind real gRPC."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from protos.auth.v1 import auth_pb2, auth_pb2_grpc, vault_pb2, vault_pb2_grpc
from protos.registry.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
    templates_pb2,
    templates_pb2_grpc,
)
from services.chassis.clock import SystemClock
from services.chassis.errors import FailedPrecondition, NotFound, ServiceError, Unavailable
from services.chassis.service import Servicer
from services.provisioner.calls import Auth, Registry
from services.provisioner.janitor import Janitor
from services.provisioner.model import DesiredState
from services.provisioner.reconciler import Reconciler
from services.provisioner.steps import Steps
from services.provisioner.wishes import Wishes
from tests.rpc import running
from tests.waiting import eventually

DESIRES = {
    DesiredState.RUNNING: registry_pb2.DESIRED_STATE_RUNNING,
    DesiredState.STOPPED: registry_pb2.DESIRED_STATE_STOPPED,
    DesiredState.UNTOUCHED: registry_pb2.DESIRED_STATE_UNTOUCHED,
    DesiredState.FORGOTTEN: registry_pb2.DESIRED_STATE_FORGOTTEN,
}

SIGN_OF_LIFE = 0.05
"""Seconds between two signs of life: many in the time a test has."""


class SmallRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """Keeps wishes and takes note of facts, as the registry would, for workspaces that never register.

    `online` are those whose agent is taken to have registered: the end of their instance asks for a newer one.
    """

    def __init__(self) -> None:
        self.records: dict[str, registry_pb2.WorkspaceRecord] = {}
        self.kits: dict[str, dict[str, str]] = {}
        self.facts: list[tuple[str, int, str]] = []
        self.told: list[registry_pb2.ReportFactRequest] = []
        self.backends: list[str] = []
        self.runtimes: dict[str, catalog_pb2.GetRuntimeResponse] = {}
        self.online: set[str] = set()
        self.alive = True
        self.unreachable_for: set[str] = set()
        self.telling = asyncio.Event()
        self.telling.set()
        self._feeds = 0
        self._revisions = itertools.count(1)
        self._changed = asyncio.Event()

    def want(
        self, workspace_id: str, desire: DesiredState = DesiredState.RUNNING, *, generation: int = 1, **fields
    ) -> None:
        """Wish something of a workspace; what is not named stays."""
        record = self.records.setdefault(
            workspace_id,
            registry_pb2.WorkspaceRecord(id=workspace_id, runtime="echo", adapter_module="molecule_agent.echo"),
        )
        record.desired_state = DESIRES[desire]
        if generation != record.generation:
            record.instance_reference = ""
        record.generation = generation
        for name, value in fields.items():
            setattr(record, name, value)
        self._change(record)

    def restart(self, workspace_id: str, *, reason: str = "restart_requested") -> None:
        generation = self.records[workspace_id].generation + 1
        self.want(workspace_id, generation=generation, status_reason=reason)

    def break_feeds(self) -> None:
        """End every feed there is, as a registry does that is started anew."""
        self._feeds += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def erase(self, workspace_id: str) -> None:
        """Let a workspace be gone as if it had never been; nobody is told."""
        del self.records[workspace_id]

    def kinds(self, workspace_id: str) -> list[tuple[int, str]]:
        """What was reported of a workspace, by generation and kind."""
        return [(generation, kind) for name, generation, kind in self.facts if name == workspace_id]

    async def reported(
        self, workspace_id: str, generation: int, kind: str, *, times: int = 1, within: float = 5
    ) -> None:
        await eventually(lambda: self.kinds(workspace_id).count((generation, kind)) >= times, within=within)

    async def ReportFact(self, request, context):
        if request.workspace_id in self.unreachable_for:
            raise Unavailable
        kind = request.WhichOneof("fact")
        self.told.append(request)
        self.facts.append((request.workspace_id, request.generation, kind))
        record = self.records.get(request.workspace_id)
        if record is not None and record.generation == request.generation:
            self._note(record, request, kind)
        return registry_pb2.ReportFactResponse()

    async def GetWorkspace(self, request, context):
        if request.workspace_id in self.unreachable_for:
            raise Unavailable
        record = self.records.get(request.workspace_id)
        if record is None:
            raise NotFound
        found = registry_pb2.Workspace(id=record.id, org_id=record.org_id)
        return registry_pb2.GetWorkspaceResponse(workspace=found)

    async def WatchWorkspaces(self, request, context) -> AsyncIterator[registry_pb2.WatchWorkspacesResponse]:
        self.backends.append(request.backend)
        sent, feeds = 0, self._feeds
        for record in sorted(self.records.values(), key=lambda record: record.revision):
            sent = max(sent, record.revision)
            yield registry_pb2.WatchWorkspacesResponse(revision=record.revision, changed=record)
        await self.telling.wait()
        yield registry_pb2.WatchWorkspacesResponse(snapshot_done=registry_pb2.SnapshotDone())
        while True:
            if feeds != self._feeds:
                raise Unavailable
            changed = self._changed
            for record in sorted(self.records.values(), key=lambda record: record.revision):
                if record.revision > sent:
                    sent = record.revision
                    yield registry_pb2.WatchWorkspacesResponse(revision=sent, changed=record)
            try:
                async with asyncio.timeout(SIGN_OF_LIFE):
                    await changed.wait()
            except TimeoutError:
                if self.alive:
                    yield registry_pb2.WatchWorkspacesResponse(keepalive={"seconds": 2})

    def _note(self, record, request, kind: str) -> None:
        match kind:
            case "instance_started":
                record.instance_reference = request.instance_started.reference
                self._change(record)
            case "instance_exited" if record.id in self.online:
                self.restart(record.id, reason="auto_restart")
            case "provisioning_failed":
                self.want(record.id, DesiredState.UNTOUCHED, generation=record.generation)

    def _change(self, record) -> None:
        record.revision = next(self._revisions)
        self._changed.set()
        self._changed = asyncio.Event()


class SmallAuth(auth_pb2_grpc.AuthServiceServicer):
    """Issues tokens that tell what they were issued for."""

    def __init__(self) -> None:
        self.issued: list[tuple[str, int]] = []
        self.refusing = False
        self.away = 0
        self.of_all: dict[str, str] = {}
        self.own: dict[str, dict[str, str]] = {}
        self.unreadable: ServiceError | None = None

    async def IssueToken(self, request, context):
        if self.refusing:
            message = "marker-of-an-internal-text"
            raise FailedPrecondition(message)
        if self.away > 0:
            self.away -= 1
            raise Unavailable
        self.issued.append((request.workspace_id, request.generation))
        return auth_pb2.IssueTokenResponse(auth_token=f"token-{len(self.issued)}-generation-{request.generation}")

    async def ReadOrHealInboundSecret(self, request, context):
        return auth_pb2.ReadOrHealInboundSecretResponse(inbound_secret=f"inbound-{request.workspace_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A provisioner between its neighbours."""

    registry: SmallRegistry
    auth: SmallAuth
    backend: object
    wishes: Wishes
    reconciler: Reconciler
    janitor: Janitor

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Let the reconciler run for the length of the block."""
        task = asyncio.ensure_future(self.reconciler.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class SmallTemplates(templates_pb2_grpc.TemplateServiceServicer):
    """Hands out what the registry's kits hold."""

    def __init__(self, registry: SmallRegistry) -> None:
        self._registry = registry

    async def GetInstanceFiles(self, request, context):
        kit = self._registry.records[request.workspace_id].starter_files
        return templates_pb2.GetInstanceFilesResponse(files=self._registry.kits[kit])


class SmallCatalog(catalog_pb2_grpc.CatalogServiceServicer):
    """Knows what the registry's runtimes need."""

    def __init__(self, registry: SmallRegistry) -> None:
        self._registry = registry

    async def GetRuntime(self, request, context):
        return self._registry.runtimes.get(request.runtime, catalog_pb2.GetRuntimeResponse())


class SmallVault(vault_pb2_grpc.VaultServiceServicer):
    """Opens what auth keeps for each workspace, and for all of them."""

    def __init__(self, auth: SmallAuth) -> None:
        self._auth = auth

    async def ReadEnvironment(self, request, context):
        if self._auth.unreadable is not None:
            raise self._auth.unreadable
        return vault_pb2.ReadEnvironmentResponse(
            global_secrets=self._auth.of_all, workspace_secrets=self._auth.own.get(request.workspace_id, {})
        )


def catalog_of(registry: SmallRegistry) -> Servicer:
    return Servicer(
        contract=catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"],
        add=catalog_pb2_grpc.add_CatalogServiceServicer_to_server,
        servicer=SmallCatalog(registry),
    )


def vault_of(auth: SmallAuth) -> Servicer:
    return Servicer(
        contract=vault_pb2.DESCRIPTOR.services_by_name["VaultService"],
        add=vault_pb2_grpc.add_VaultServiceServicer_to_server,
        servicer=SmallVault(auth),
    )


def templates_of(registry: SmallRegistry) -> Servicer:
    return Servicer(
        contract=templates_pb2.DESCRIPTOR.services_by_name["TemplateService"],
        add=templates_pb2_grpc.add_TemplateServiceServicer_to_server,
        servicer=SmallTemplates(registry),
    )


def servicers_of(registry: SmallRegistry, auth: SmallAuth) -> tuple[Servicer, Servicer]:
    return (
        Servicer(
            contract=registry_pb2.DESCRIPTOR.services_by_name["RegistryService"],
            add=registry_pb2_grpc.add_RegistryServiceServicer_to_server,
            servicer=registry,
        ),
        Servicer(
            contract=auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
            add=auth_pb2_grpc.add_AuthServiceServicer_to_server,
            servicer=auth,
        ),
    )


@asynccontextmanager
async def scene(backend, *, registry: SmallRegistry | None = None, clock=None) -> AsyncIterator[Scene]:
    registry, auth, clock = registry or SmallRegistry(), SmallAuth(), clock or SystemClock()
    book, keys = servicers_of(registry, auth)
    async with AsyncExitStack() as stack:
        to_registry = Registry(
            await stack.enter_async_context(
                running([book, templates_of(registry), catalog_of(registry)], caller_service="provisioner")
            ),
            backend=backend.name,
        )
        to_auth = Auth(await stack.enter_async_context(running([keys, vault_of(auth)], caller_service="provisioner")))
        wishes = Wishes(to_registry, clock)
        steps = Steps(
            backend=backend, registry=to_registry, auth=to_auth, clock=clock, platform_url="http://plane.test"
        )
        yield Scene(
            registry=registry,
            auth=auth,
            backend=backend,
            wishes=wishes,
            reconciler=Reconciler(backend=backend, wishes=wishes, registry=to_registry, steps=steps),
            janitor=Janitor(backend, wishes),
        )
