"""Records the streamed answers of agents, resumes streams, and replays the streams of tasks."""

from collections.abc import Awaitable, Callable

from molecule_a2a.methods import find_method
from molecule_a2a.model import Operation
from services.a2a_proxy.answered_tasks import AnsweredTask
from services.a2a_proxy.envelope import STREAMING_METHODS
from services.a2a_proxy.errors import CallerLeft, StreamEventsGone
from services.a2a_proxy.model import (
    Answer,
    Answered,
    Busy,
    Deadline,
    Envelope,
    Failed,
    IncomingMessage,
    Route,
    Stream,
)
from services.a2a_proxy.streams import beginnings, rules
from services.a2a_proxy.streams.event_ids import parse_event_id
from services.a2a_proxy.streams.model import RecordedStream
from services.a2a_proxy.streams.recorder import StreamRecorder
from services.a2a_proxy.streams.replay import Replays
from services.a2a_proxy.streams.store import StreamStore
from services.a2a_proxy.streams.watching import StreamWatch
from services.a2a_proxy.tasks.access import TaskAccess, get_owner, get_viewer
from services.a2a_proxy.tasks.responses import build_fault, choose_dialect, read_id
from services.chassis.errors import Unavailable

LAST_EVENT_ID = "last-event-id"

OK = 200

STREAM_HEADERS = {"content-type": "text/event-stream"}

OTHER_DIALECT = "invalid params: the stream of this Last-Event-ID is in the other version of A2A"


class Streams:
    """The streamed answers of all agents, as their callers receive, resume and replay them."""

    def __init__(
        self,
        *,
        store: StreamStore,
        watch: StreamWatch,
        recorder: StreamRecorder,
        access: TaskAccess,
    ) -> None:
        self._store = store
        self._watch = watch
        self._recorder = recorder
        self._access = access
        self._replays = Replays(store, watch)

    def may_record(self, envelope: Envelope, stream: Stream) -> bool:
        """Whether an answer is recorded: one that succeeds, and answers a streaming method."""
        is_streaming = envelope.method in STREAMING_METHODS and envelope.is_json_rpc
        return stream.status == OK and is_streaming and self._recorder.is_running

    def record(
        self,
        incoming: IncomingMessage,
        envelope: Envelope,
        route: Route,
        stream: Stream,
        *,
        note_task: Callable[[AnsweredTask], Awaitable[None]],
        note_context: Callable[[str], None],
    ) -> Stream:
        """Return the stream for the caller, whose events have ids; it goes on without the caller.

        `note_task` is called with the task of the stream before the caller learns of it, and `note_context` with the
        context of a stream without a task.
        """
        return self._recorder.record(
            stream,
            route,
            owner=get_owner(incoming),
            request_id=read_id(envelope.body),
            request_bytes=len(envelope.body),
            dialect=choose_dialect(envelope),
            note_task=note_task,
            note_context=note_context,
        )

    async def resume(self, incoming: IncomingMessage, envelope: Envelope, deadline: Deadline | None) -> Stream | None:
        """Return the rest of a stream from the position of `Last-Event-ID`; `None` if the plane did not give that id.

        Raises `StreamEventsGone` if the events after it are not kept, or are those of another caller, and
        `MalformedMessage` if the caller speaks the other dialect.
        """
        if envelope.method not in STREAMING_METHODS or not envelope.is_json_rpc:
            return None
        position = parse_event_id(incoming.headers.get(LAST_EVENT_ID, ""), incoming.target)
        if position is None:
            return None
        async with self._store.begin_single() as tx:
            stream = await tx.find(position.stream_id)
        if stream is None or not self._may_read(incoming, stream) or not rules.is_kept(stream, position.seq):
            raise StreamEventsGone
        if stream.dialect is not choose_dialect(envelope):
            raise build_fault(envelope, OTHER_DIALECT)
        return self._replay(stream, position.seq, envelope, deadline)

    async def replay_task(
        self, incoming: IncomingMessage, envelope: Envelope, deadline: Deadline | None
    ) -> Stream | None:
        """Return the recorded stream of the task that a caller subscribes to, from its beginning, if there is one."""
        stream = await self._find_of_task(incoming, envelope)
        return None if stream is None else self._replay(stream, 0, envelope, deadline, is_subscription=True)

    async def replace(
        self,
        result: Answered | Busy | Failed,
        incoming: IncomingMessage,
        envelope: Envelope,
        deadline: Deadline | None,
    ) -> Answered | Busy | Failed | Stream:
        """Return the result of a dispatch, or for a subscription that the agent cannot serve the recorded stream."""
        if not is_subscription(envelope) or (isinstance(result, Failed) and isinstance(result.error, CallerLeft)):
            return result
        answer = result.answer if isinstance(result, Answered) else None
        if isinstance(answer, Answer) and not rules.cannot_stream(answer):
            return result
        stream = await self._find_of_task(incoming, envelope)
        if stream is None:
            return result
        if isinstance(answer, Stream):
            live = await beginnings.reject_refusal(answer)
            if live is not None:
                return Answered(live)
        return self._replay(stream, 0, envelope, deadline, is_subscription=True)

    async def _find_of_task(self, incoming: IncomingMessage, envelope: Envelope) -> RecordedStream | None:
        """Return the recording of the task that a request subscribes to, if it is whole and the caller may read it."""
        if not is_subscription(envelope) or not envelope.references.task_ids:
            return None
        try:
            async with self._store.begin_single() as tx:
                stream = await tx.find_by_task(incoming.target, envelope.references.task_ids[0])
        except Unavailable:
            return None
        if stream is None or not self._may_read(incoming, stream) or not rules.is_whole(stream):
            return None
        return stream if stream.dialect is choose_dialect(envelope) else None

    def _may_read(self, incoming: IncomingMessage, stream: RecordedStream) -> bool:
        is_own = self._access.may_see(get_viewer(incoming), stream.owner)
        return is_own and stream.target_id == incoming.target

    def _replay(
        self,
        stream: RecordedStream,
        after: int,
        envelope: Envelope,
        deadline: Deadline | None,
        *,
        is_subscription: bool = False,
    ) -> Stream:
        self._watch.check_room(stream.target_id)
        chunks = self._replays.replay(
            stream,
            after,
            request_id=read_id(envelope.body),
            deadline=deadline,
            is_subscription=is_subscription,
        )
        return Stream(status=OK, headers=STREAM_HEADERS, chunks=chunks, holds_request=False)


def is_subscription(envelope: Envelope) -> bool:
    """Whether a request subscribes to a task."""
    known = find_method(envelope.method)
    return known is not None and known.operation is Operation.SUBSCRIBE_TO_TASK and envelope.is_json_rpc
