"""Reads the stream of an agent to its end, stores its events, and passes them to the caller that began it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta

import structlog

from services.a2a_proxy.answered_tasks import AnsweredTask, find_context
from services.a2a_proxy.model import StreamBroken, StreamInterrupted
from services.a2a_proxy.stream_tasks import TaskFinder
from services.a2a_proxy.streams import frames
from services.a2a_proxy.streams.caller_buffer import CallerBuffer
from services.a2a_proxy.streams.event_ids import render_event_id
from services.a2a_proxy.streams.frames import FrameReader, FrameTooLarge
from services.a2a_proxy.streams.model import Ending, EventWrite, NewRecording, RecordedEvent
from services.a2a_proxy.streams.task_events import TaskProgress
from services.a2a_proxy.streams.watching import StreamWatch
from services.a2a_proxy.streams.writer import EVENT_BYTES, StreamWriter

log = structlog.get_logger()

MAX_EVENT_BYTES = 10 * 1024 * 1024
"""Bytes of the largest event that is recorded; a stream with a larger one goes on without ids."""

MAX_KEPT_BYTES = 32 * 1024 * 1024
"""Bytes of a stream that are kept; beyond them the oldest events are dropped."""

KEPT_SHARE = 0.9
"""Share of it that is kept then, so that not every further event drops one."""

SEGMENT_BYTES = 1024 * 1024
"""Bytes of the events that are dropped together."""

MAX_DETACHED_BYTES = MAX_KEPT_BYTES
"""Bytes that an agent may stream without a caller; nobody could read more of them."""

MAX_DETACHED_DURATION = timedelta(hours=6)
"""Longest time that an agent may stream without a caller."""

ENDING_DELAY = timedelta(milliseconds=50)
"""Time after the end of a stream until it is stored, so that the ends of many streams share a statement."""


class StreamAbandoned(Exception):
    """The stream has exceeded what an agent may stream without a caller."""


class Recording:
    """One stream that this replica reads."""

    def __init__(
        self,
        new: NewRecording,
        chunks: AsyncGenerator[bytes, None],
        *,
        buffer: CallerBuffer,
        writer: StreamWriter,
        watch: StreamWatch,
        note_task: Callable[[AnsweredTask], Awaitable[None]],
        note_context: Callable[[str], None],
        build_failure: Callable[[TaskProgress], Awaitable[bytes | None]],
    ) -> None:
        """Take what the recording uses.

        `note_task` notes whose the task of the stream is, before the caller learns of it, and `note_context` whose the
        context of a message without a task is. `build_failure` returns the event that ends the task of a broken stream;
        `None` if its agent may live.
        """
        self.new = new
        self._chunks = chunks
        self._buffer = buffer
        self._writer = writer
        self._watch = watch
        self._note_task = note_task
        self._note_context = note_context
        self._build_failure = build_failure
        self._reader = FrameReader(max_frame_bytes=MAX_EVENT_BYTES)
        self._progress = TaskProgress()
        self._finder = TaskFinder()
        """Looks for the task in what is not recorded."""
        self._kept: deque[tuple[int, int]] = deque()
        """The segments of the events that are kept: the last event of each, and its bytes."""
        self._last_seq = 0
        self._detached_bytes = 0
        self._is_recorded = True
        self.kept_bytes = 0
        self.is_over = False

    async def run(self) -> None:
        """Read the stream to its end. It is cancelled to end it before."""
        self._watch.note_begin(self.new.id)
        ending = Ending.INTERRUPTED
        try:
            ending = await self._read()
        except StreamAbandoned:
            log.info("stream without a caller ended", stream=self.new.id)
        finally:
            self._end(ending)
        await asyncio.sleep(ENDING_DELAY.total_seconds())
        await self._writer.store_endings()
        self._watch.wake(self.new.id)

    async def _read(self) -> Ending:
        try:
            async with aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    await self._take(chunk)
        except StreamInterrupted as error:
            failure = None
            if self._is_recorded and isinstance(error, StreamBroken) and self._progress.is_open():
                failure = await self._build_failure(self._progress)
            if failure is None:
                await self._buffer.put(b"" if self._is_recorded else self._reader.take_rest())
                return Ending.INTERRUPTED
            await self._pass_on([failure])
            return Ending.COMPLETED
        await self._buffer.put(self._reader.take_rest())
        return Ending.COMPLETED

    async def _take(self, chunk: bytes) -> None:
        """Store the events that end in a chunk, and then pass them on."""
        if not self._buffer.is_attached:
            self._detached_bytes += len(chunk)
            if self._detached_bytes > MAX_DETACHED_BYTES:
                raise StreamAbandoned
        if not self._is_recorded:
            await self._pass_unrecorded(chunk)
            return
        try:
            found = self._reader.read(chunk)
        except FrameTooLarge:
            await self._stop_recording(b"")
            return
        if found:
            await self._pass_on(found)

    async def _pass_on(self, found: list[bytes]) -> None:
        events: list[RecordedEvent] = []
        passed: list[bytes] = []
        task = None
        for frame in found:
            if not frames.has_data(frame):
                passed.append(frame)
                continue
            seq = self._last_seq + len(events) + 1
            with_id = frame
            if not frames.has_id(frame):
                with_id = frames.add_id(frame, render_event_id(self.new.id, seq).encode())
            events.append(RecordedEvent(seq, with_id))
            passed.append(with_id)
            if self._progress.note(frame):
                task = self._progress.task
            elif self._progress.task is None and (context_id := find_context(frames.find_data(frame))) is not None:
                self._note_context(context_id)
        if events and not await self._store(tuple(events), task):
            await self._stop_recording(b"".join(found))
            return
        await self._buffer.put(b"".join(passed))

    async def _store(self, events: tuple[RecordedEvent, ...], task: AnsweredTask | None) -> bool:
        """Store events; `task` is set with those that first tell of the task, which is noted at the same time."""
        begins = None if self._last_seq else self.new
        task_id = None if task is None else task.id
        write = EventWrite(stream_id=self.new.id, events=events, begins=begins, task_id=task_id)
        if task is None:
            is_stored = await self._writer.append(write)
        else:
            is_stored, _ = await asyncio.gather(self._writer.append(write), self._note_task(task))
        if not is_stored:
            return False
        self._last_seq = events[-1].seq
        await self._limit(write.size + EVENT_BYTES * len(events))
        self._watch.wake(self.new.id)
        return True

    async def _limit(self, added: int) -> None:
        """Count the bytes of events, and drop the oldest ones beyond the limit."""
        self.kept_bytes += added
        if self._kept and self._kept[-1][1] < SEGMENT_BYTES:
            added += self._kept.pop()[1]
        self._kept.append((self._last_seq, added))
        if self.kept_bytes <= MAX_KEPT_BYTES:
            return
        first_seq = 1
        while len(self._kept) > 1 and self.kept_bytes > MAX_KEPT_BYTES * KEPT_SHARE:
            last_seq, size = self._kept.popleft()
            self.kept_bytes -= size
            first_seq = last_seq + 1
        await self._writer.drop_events(self.new.id, first_seq)

    async def _stop_recording(self, unstored: bytes) -> None:
        """Go on without ids, because an event cannot be stored; what was stored cannot be resumed any more."""
        self._is_recorded = False
        await self._pass_unrecorded(unstored + self._reader.take_rest())

    async def _pass_unrecorded(self, piece: bytes) -> None:
        if self._progress.task is None and self._finder.is_searching and (task := self._finder.feed(piece)) is not None:
            await self._note_task(task)
        await self._buffer.put(piece)

    def _end(self, ending: Ending) -> None:
        """End the stream of the caller, and have the end stored. A stream is whole once its task has ended."""
        self.is_over = True
        if ending is Ending.INTERRUPTED and self._progress.has_ended():
            ending = Ending.COMPLETED
        self._buffer.close(interrupted=ending is Ending.INTERRUPTED)
        if self._last_seq:
            stored = ending if self._is_recorded else Ending.INCOMPLETE
            self._writer.end(self.new.id, stored, self.kept_bytes)
        self._watch.note_end(self.new.id)
