"""A fake registry for the provisioner: real servicers behind real gRPC that keep everything in memory."""

import asyncio
import itertools
from collections.abc import AsyncIterator

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
from services.chassis.errors import NotFound, Unavailable
from services.chassis.service import Servicer
from services.provisioner.model import DesiredState
from tests.waiting import eventually

DESIRED_STATES = {
    DesiredState.RUNNING: registry_pb2.DESIRED_STATE_RUNNING,
    DesiredState.STOPPED: registry_pb2.DESIRED_STATE_STOPPED,
    DesiredState.UNTOUCHED: registry_pb2.DESIRED_STATE_UNTOUCHED,
    DesiredState.FORGOTTEN: registry_pb2.DESIRED_STATE_FORGOTTEN,
}

KEEPALIVE_SECONDS = 0.05
"""Time between two keepalives: short, so that a test sees many of them."""


class FakeRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """Keeps desired state and applies facts, as the registry does for workspaces that never register.

    Agents of the workspaces in `online` count as registered: after the end of their instance the registry raises the
    generation.
    """

    def __init__(self) -> None:
        self.records: dict[str, registry_pb2.WorkspaceRecord] = {}
        self.files_by_digest: dict[str, dict[str, str]] = {}
        self.facts: list[tuple[str, int, str]] = []
        self.reports: list[registry_pb2.ReportFactRequest] = []
        self.provisioning: list[provisioning_pb2.ProvisioningReport] = []
        self.provisioning_calls = 0
        self.refuses_provisioning = False
        self.watching_backends: list[str] = []
        self.images: dict[str, str] = {}
        """Images of runtimes that have no entry in `runtimes`."""
        self.runtimes: dict[str, catalog_pb2.GetRuntimeResponse] = {}
        self.online: set[str] = set()
        self.sends_keepalives = True
        self.unreachable_for: set[str] = set()
        self.purged: set[str] = set()
        self.snapshot_allowed = asyncio.Event()
        self.snapshot_allowed.set()
        self._feeds = 0
        self._revisions = itertools.count(1)
        self._changed = asyncio.Event()

    def set_desired(
        self, workspace_id: str, state: DesiredState = DesiredState.RUNNING, *, generation: int = 1, **fields
    ) -> None:
        """Set the desired state of a workspace. Fields that are not given keep their values."""
        record = self.records.setdefault(
            workspace_id,
            registry_pb2.WorkspaceRecord(id=workspace_id, runtime="echo", adapter_module="molecule_agent.echo"),
        )
        record.desired_state = DESIRED_STATES[state]
        if generation != record.generation:
            record.instance_reference = ""
        record.generation = generation
        command = fields.pop("command", None)
        if command is not None:
            record.command[:] = command
        for name, value in fields.items():
            setattr(record, name, value)
        self._publish(record)

    def restart(self, workspace_id: str, *, reason: str = "restart_requested") -> None:
        """Raise the generation of a workspace."""
        generation = self.records[workspace_id].generation + 1
        self.set_desired(workspace_id, generation=generation, status_reason=reason)

    def add_runtime(self, name: str, *, required: list[str]) -> str:
        """Add a runtime that needs these variables, and return its name."""
        variables = [catalog_pb2.RequiredVariable(any_of=[variable]) for variable in required]
        self.runtimes[name] = catalog_pb2.GetRuntimeResponse(required=variables)
        return name

    def break_feeds(self) -> None:
        """End every open feed, as a restart of the registry does."""
        self._feeds += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def erase(self, workspace_id: str) -> None:
        """Delete a workspace without sending a change."""
        del self.records[workspace_id]

    def list_facts(self, workspace_id: str) -> list[tuple[int, str]]:
        """Return the generation and kind of every fact that was reported of a workspace."""
        return [(generation, kind) for name, generation, kind in self.facts if name == workspace_id]

    async def wait_for_fact(
        self, workspace_id: str, generation: int, kind: str, *, times: int = 1, within: float = 5
    ) -> None:
        """Wait until a fact was reported so many times."""
        await eventually(lambda: self.list_facts(workspace_id).count((generation, kind)) >= times, within=within)

    async def ReportFact(self, request, context):
        if request.workspace_id in self.unreachable_for:
            raise Unavailable
        kind = request.WhichOneof("fact")
        self.reports.append(request)
        self.facts.append((request.workspace_id, request.generation, kind))
        if request.workspace_id in self.purged:
            raise NotFound
        record = self.records.get(request.workspace_id)
        if record is not None and record.generation == request.generation:
            self._apply(record, request, kind)
        return registry_pb2.ReportFactResponse()

    async def GetWorkspace(self, request, context):
        if request.workspace_id in self.unreachable_for:
            raise Unavailable
        record = self.records.get(request.workspace_id)
        if record is None:
            raise NotFound
        workspace = registry_pb2.Workspace(id=record.id, org_id=record.org_id, status=record.status)
        return registry_pb2.GetWorkspaceResponse(workspace=workspace)

    async def WatchWorkspaces(self, request, context) -> AsyncIterator[registry_pb2.WatchWorkspacesResponse]:
        self.watching_backends.append(request.backend)
        sent, feeds = 0, self._feeds
        for record in sorted(self.records.values(), key=lambda record: record.revision):
            sent = max(sent, record.revision)
            yield registry_pb2.WatchWorkspacesResponse(revision=record.revision, changed=record)
        await self.snapshot_allowed.wait()
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
                async with asyncio.timeout(KEEPALIVE_SECONDS):
                    await changed.wait()
            except TimeoutError:
                if self.sends_keepalives:
                    yield registry_pb2.WatchWorkspacesResponse(keepalive={"seconds": 2})

    def _apply(self, record, request, kind: str) -> None:
        match kind:
            case "instance_started":
                record.instance_reference = request.instance_started.reference
                self._publish(record)
            case "instance_exited" if record.id in self.online:
                self.restart(record.id, reason="auto_restart")
            case "provisioning_failed":
                self.set_desired(
                    record.id, DesiredState.UNTOUCHED, generation=record.generation, status_reason="provision_error"
                )
            case "provisioning_possible":
                self.restart(record.id, reason="auto_restart")

    def _publish(self, record) -> None:
        record.revision = next(self._revisions)
        self._changed.set()
        self._changed = asyncio.Event()


class FakeProvisioningService(provisioning_pb2_grpc.ProvisioningServiceServicer):
    """Keeps what is reported of starts in the fake registry."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    async def ReportProvisioning(self, request, context):
        self._registry.provisioning_calls += 1
        if self._registry.refuses_provisioning:
            raise Unavailable
        self._registry.provisioning.extend(request.reports)
        return provisioning_pb2.ReportProvisioningResponse()


class FakeTemplateService(templates_pb2_grpc.TemplateServiceServicer):
    """Returns the starter files of the fake registry."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    async def GetInstanceFiles(self, request, context):
        digest = self._registry.records[request.workspace_id].starter_files
        return templates_pb2.GetInstanceFilesResponse(files=self._registry.files_by_digest[digest])


class FakeCatalogService(catalog_pb2_grpc.CatalogServiceServicer):
    """Returns the runtimes of the fake registry."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    async def GetRuntime(self, request, context):
        return self._registry.runtimes.get(request.runtime, catalog_pb2.GetRuntimeResponse())

    async def ReadImages(self, request, context):
        images = self._registry.images
        return catalog_pb2.ReadImagesResponse(
            images=[catalog_pb2.RuntimeImage(runtime=name, image=image) for name, image in images.items()]
        )


class FakeLifecycleService(lifecycle_pb2_grpc.LifecycleServiceServicer):
    """Restarts workspaces of the fake registry."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    async def RestartWorkspace(self, request, context):
        if request.workspace_id not in self._registry.records:
            raise NotFound
        self._registry.restart(request.workspace_id)
        return lifecycle_pb2.RestartWorkspaceResponse()


def registry_servicers(registry: FakeRegistry) -> list[Servicer]:
    """Return the servicers of a fake registry."""
    return [
        Servicer(
            contract=registry_pb2.DESCRIPTOR.services_by_name["RegistryService"],
            add=registry_pb2_grpc.add_RegistryServiceServicer_to_server,
            servicer=registry,
        ),
        Servicer(
            contract=provisioning_pb2.DESCRIPTOR.services_by_name["ProvisioningService"],
            add=provisioning_pb2_grpc.add_ProvisioningServiceServicer_to_server,
            servicer=FakeProvisioningService(registry),
        ),
        Servicer(
            contract=templates_pb2.DESCRIPTOR.services_by_name["TemplateService"],
            add=templates_pb2_grpc.add_TemplateServiceServicer_to_server,
            servicer=FakeTemplateService(registry),
        ),
        Servicer(
            contract=catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"],
            add=catalog_pb2_grpc.add_CatalogServiceServicer_to_server,
            servicer=FakeCatalogService(registry),
        ),
        Servicer(
            contract=lifecycle_pb2.DESCRIPTOR.services_by_name["LifecycleService"],
            add=lifecycle_pb2_grpc.add_LifecycleServiceServicer_to_server,
            servicer=FakeLifecycleService(registry),
        ),
    ]
