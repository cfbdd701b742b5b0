"""No instances: agents bring themselves."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from services.provisioner.backends.base import Site
from services.provisioner.errors import NoBackend
from services.provisioner.model import Instance, Log, Spec, WorkspaceId


class NoneBackend:
    """Holds no instance and starts none."""

    name = "none"
    hosts = False

    async def start(self, spec: Spec) -> Instance:
        raise NoBackend(details={"workspace_id": spec.workspace_id})

    async def stop(self, workspace_id: WorkspaceId) -> None:
        """Nothing runs, so nothing is to be done."""

    async def forget(self, workspace_id: WorkspaceId) -> None:
        """Nothing is left behind, so nothing is to be done."""

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:  # noqa: ARG002 - it has none, whoever asks
        return None

    async def list(self) -> Sequence[Instance]:
        return ()

    async def logs(self, workspace_id: WorkspaceId, tail: int) -> Log | None:  # noqa: ARG002 - nobody writes any
        return None

    async def exits(self) -> AsyncGenerator[WorkspaceId, None]:
        await asyncio.get_running_loop().create_future()
        yield WorkspaceId("")


def make(_: Site) -> NoneBackend:
    return NoneBackend()
