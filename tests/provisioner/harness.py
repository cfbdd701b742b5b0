"""A provisioner in the test's event loop, connected to a fake registry and a fake auth."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from services.chassis.clock import SystemClock
from services.provisioner.backends.base import ImageHost
from services.provisioner.clients import AuthClient, RegistryClient
from services.provisioner.desired_state import DesiredStateCache
from services.provisioner.image_digests import DigestFetcher
from services.provisioner.image_watcher import ImageWatcher
from services.provisioner.images import ImageRefresher
from services.provisioner.janitor import Janitor
from services.provisioner.provisioning_reports import ProvisioningReporter
from services.provisioner.reconciler import Reconciler
from services.provisioner.rolling_restart import TURN_LIMIT, RollingRestart
from services.provisioner.start_gate import SLOT_LIMIT, StartGate
from services.provisioner.steps import StepRunner
from services.provisioner.workspace_progress import ProvisioningNotes
from tests.provisioner.fake_auth import FakeAuth, auth_servicers
from tests.provisioner.fake_registry import FakeRegistry, registry_servicers
from tests.rpc import open_channel_to


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionerHarness:
    """The parts of a provisioner, and the fakes that it calls."""

    registry: FakeRegistry
    auth: FakeAuth
    backend: object
    desired_state: DesiredStateCache
    reconciler: Reconciler
    janitor: Janitor
    images: ImageRefresher
    watcher: ImageWatcher

    @asynccontextmanager
    async def reconciling(self) -> AsyncIterator[None]:
        """Run the reconciler within the block."""
        task = asyncio.ensure_future(self.reconciler.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def provisioner_harness(
    backend,
    *,
    registry: FakeRegistry | None = None,
    clock=None,
    slots: int = 3,
    slot_limit: timedelta = SLOT_LIMIT,
    turn_limit: timedelta = TURN_LIMIT,
) -> AsyncIterator[ProvisionerHarness]:
    """Assemble a provisioner for a backend. With a `clock`, the test decides how time passes."""
    registry, auth = registry or FakeRegistry(), FakeAuth()
    async with AsyncExitStack() as stack:
        registry_client = RegistryClient(
            await stack.enter_async_context(
                open_channel_to(registry_servicers(registry), caller_service="provisioner")
            ),
            backend=backend.name,
        )
        auth_client = AuthClient(
            await stack.enter_async_context(open_channel_to(auth_servicers(auth), caller_service="provisioner"))
        )
        monotonic = (lambda: clock.now().timestamp()) if clock else time.monotonic
        desired_state = DesiredStateCache(registry_client, monotonic=monotonic)
        clock = clock or SystemClock()
        gate, reporter = StartGate(slots, limit=slot_limit), ProvisioningReporter(registry_client)
        steps = StepRunner(
            backend=backend,
            registry=registry_client,
            auth=auth_client,
            gate=gate,
            notes=ProvisioningNotes(reporter, clock),
            clock=clock,
            platform_url="http://plane.test",
        )
        restarts = RollingRestart(registry_client, turn_size=slots, turn_limit=turn_limit)
        images = ImageRefresher(backend if isinstance(backend, ImageHost) else None, registry_client, restarts)
        yield ProvisionerHarness(
            registry=registry,
            auth=auth,
            backend=backend,
            desired_state=desired_state,
            reconciler=Reconciler(
                backend=backend,
                desired_state=desired_state,
                registry=registry_client,
                steps=steps,
                gate=gate,
                reporter=reporter,
            ),
            janitor=Janitor(backend, desired_state, auth_client),
            images=images,
            watcher=ImageWatcher(images, DigestFetcher(None).fetch),
        )
