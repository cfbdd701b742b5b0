"""Follows the ends of containers in the engine's event stream."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any

import requests
import urllib3
from docker.errors import DockerException
from docker.types import CancellableStream

from services.provisioner.backends.docker.engine import Engine
from services.provisioner.backends.docker.names import GENERATION, WORKSPACE, build_label_filters
from services.provisioner.errors import BackendUnavailable
from services.provisioner.model import WorkspaceId

OVERLAP_SECONDS = 2
"""The stream begins a little before now, so that no end is missed while it is opened. Repeated ones are harmless."""


class ExitStream:
    """The event stream of the engine, read by a thread of its own."""

    def __init__(self, engine: Engine, installation_id: str) -> None:
        self._engine = engine
        # Only containers of agents have a generation; helpers end after every request.
        labels = [*build_label_filters(installation_id), GENERATION]
        self._filters = {"type": "container", "event": "die", "label": labels}
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Queue[WorkspaceId | None] = asyncio.Queue()
        self._stream: CancellableStream[Any] | None = None
        self._is_closed = False
        self._since = int(time.time()) - OVERLAP_SECONDS
        self._thread = threading.Thread(target=self._read, name="docker events", daemon=True)
        self._thread.start()

    async def follow(self) -> AsyncGenerator[WorkspaceId, None]:
        """Yield the workspace of each container that ended; raises `BackendUnavailable` when the stream ends."""
        try:
            while (workspace_id := await self._ended.get()) is not None:
                yield workspace_id
            raise BackendUnavailable
        finally:
            self._is_closed = True
            if self._stream is not None:
                with contextlib.suppress(OSError, AttributeError, DockerException):
                    self._stream.close()

    def _read(self) -> None:
        """Run in the thread. A stream that cannot be opened, or breaks, ends it."""
        with contextlib.suppress(
            DockerException,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
            BackendUnavailable,
        ):
            client = self._engine.open_client()
            with contextlib.closing(client):
                self._stream = client.events(since=self._since, filters=self._filters, decode=True)
                for event in self._stream:
                    if self._is_closed:
                        return
                    self._report(event["Actor"]["Attributes"].get(WORKSPACE))
        self._report(None)

    def _report(self, workspace_id: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ended.put_nowait, WorkspaceId(workspace_id) if workspace_id else None)
