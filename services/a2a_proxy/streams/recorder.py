"""Owns the recordings of this replica, and limits those whose caller has left."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import structlog

from molecule_a2a.model import Dialect
from services.a2a_proxy.answered_tasks import AnsweredTask
from services.a2a_proxy.clients import ProvisionerClient
from services.a2a_proxy.model import InstanceCondition, Route, Stream, WorkspaceId
from services.a2a_proxy.streams import event_ids, task_events
from services.a2a_proxy.streams.caller_buffer import CallerBuffer
from services.a2a_proxy.streams.model import NewRecording
from services.a2a_proxy.streams.recording import MAX_DETACHED_DURATION, SEGMENT_BYTES, Recording
from services.a2a_proxy.streams.task_events import TaskProgress
from services.a2a_proxy.streams.watching import StreamWatch
from services.a2a_proxy.streams.writer import StreamWriter
from services.a2a_proxy.tasks.model import TaskOwner
from services.chassis.clock import Clock

log = structlog.get_logger()

MAX_DETACHED = 1024
"""Streams of this replica that go on without their caller; beyond them a stream ends with its caller."""

MAX_DETACHED_PER_TARGET = 64
"""Of them, those of one workspace."""

MAX_DETACHED_REQUEST_BYTES = 64 * 1024 * 1024
"""Bytes of the requests of them, which stay in memory for the activity log."""

SECOND_CHECK_DELAY = timedelta(seconds=1)
"""Time after which an instance that breaks its connection is checked again: while it ends, it is still alive."""


class StreamRecorder:
    """Records streams in tasks of its own, which do not end with their callers."""

    def __init__(
        self, writer: StreamWriter, watch: StreamWatch, *, provisioner: ProvisionerClient, clock: Clock
    ) -> None:
        self._writer = writer
        self._watch = watch
        self._provisioner = provisioner
        self._clock = clock
        self._group: asyncio.TaskGroup | None = None
        self._recordings: dict[Recording, int] = {}
        """Those in progress, with the bytes of them that are stored as their size."""
        self._detached: Counter[WorkspaceId] = Counter()
        self._detached_request_bytes = 0

    @property
    def is_running(self) -> bool:
        """Whether streams can be recorded: the service runs."""
        return self._group is not None

    async def run(self) -> None:
        """Own the tasks of all recordings until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.Event().wait()

    async def note_alive(self) -> None:
        """Store that this proxy is alive, and how large its recordings are; raises `Unavailable`."""
        await self._writer.note_alive()
        grown = {it: it.kept_bytes for it, size in self._recordings.items() if it.kept_bytes - size >= SEGMENT_BYTES}
        await self._writer.note_sizes({it.new.id: size for it, size in grown.items()})
        self._recordings |= {it: size for it, size in grown.items() if it in self._recordings}

    def record(
        self,
        stream: Stream,
        route: Route,
        *,
        owner: TaskOwner,
        request_id: bytes,
        request_bytes: int,
        dialect: Dialect,
        note_task: Callable[[AnsweredTask], Awaitable[None]],
        note_context: Callable[[str], None],
    ) -> Stream:
        """Return a stream for its caller, of which a recording is made; the stream itself before the service runs."""
        if self._group is None:
            return stream
        target = route.workspace_id
        new = NewRecording(
            id=event_ids.build_stream_id(target, os.urandom(event_ids.ENTROPY_BYTES)),
            target_id=target,
            owner=owner,
            dialect=dialect,
            request_id=request_id,
        )

        async def build_failure(progress: TaskProgress) -> bytes | None:
            if progress.task is None or not await self._is_gone(route):
                return None
            at, message_id = self._clock.now(), str(uuid4())
            return task_events.build_failure(progress.task, request_id, dialect, at=at, message_id=message_id)

        buffer = CallerBuffer(
            may_hold_back=lambda: not self._watch.is_followed(new.id),
            on_departure=lambda: self._detach(recording, task, request_bytes),
        )
        recording = Recording(
            new,
            stream.chunks,
            buffer=buffer,
            writer=self._writer,
            watch=self._watch,
            note_task=note_task,
            note_context=note_context,
            build_failure=build_failure,
        )
        self._recordings[recording] = 0
        task = self._group.create_task(self._run(recording))
        return Stream(status=stream.status, headers=stream.headers, chunks=buffer.read())

    async def _run(self, recording: Recording) -> None:
        """Run a recording; its errors do not affect others."""
        try:
            await recording.run()
        except Exception:
            log.exception("recording failed", stream=recording.new.id)
        finally:
            self._recordings.pop(recording, None)

    def _detach(self, recording: Recording, task: asyncio.Task[None], request_bytes: int) -> None:
        """Let a stream go on without its caller, or end it if too many do."""
        target = recording.new.target_id
        if recording.is_over:
            return
        if not self._has_room(target, request_bytes):
            self._end(task)
            return
        self._detached[target] += 1
        self._detached_request_bytes += request_bytes
        timer = asyncio.get_running_loop().call_later(MAX_DETACHED_DURATION.total_seconds(), self._end, task)

        def forget(_: asyncio.Task[None]) -> None:
            timer.cancel()
            self._detached[target] -= 1
            self._detached_request_bytes -= request_bytes
            if not self._detached[target]:
                del self._detached[target]

        task.add_done_callback(forget)

    def _has_room(self, target: WorkspaceId, request_bytes: int) -> bool:
        """Whether a further stream of a workspace may go on without its caller."""
        has_bytes = self._detached_request_bytes + request_bytes <= MAX_DETACHED_REQUEST_BYTES
        return has_bytes and self._detached[target] < MAX_DETACHED_PER_TARGET and self._detached.total() < MAX_DETACHED

    def _end(self, task: asyncio.Task[None]) -> None:
        """End a stream at its agent, and have that stored."""
        group = self._group
        if group is not None and not self._watch.is_stopping:
            task.add_done_callback(lambda _: group.create_task(self._writer.store_endings()))
        task.cancel()

    async def _is_gone(self, route: Route) -> bool:
        """Whether the instance of an agent is gone. Of an agent that the plane does not run, it cannot know."""
        if route.external:
            return False
        condition = await self._provisioner.check(route.workspace_id, route.generation)
        if condition is InstanceCondition.ALIVE:
            await asyncio.sleep(SECOND_CHECK_DELAY.total_seconds())
            condition = await self._provisioner.check(route.workspace_id, route.generation)
        return condition is InstanceCondition.GONE
