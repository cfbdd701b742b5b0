"""Converts between protobuf and the model."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import activity_pb2, broadcasts_pb2
from services.a2a_proxy.agent_message import AgentMessage, Attachment
from services.a2a_proxy.errors import InvalidActivity, InvalidActivityQuery
from services.a2a_proxy.model import (
    Acceptance,
    Activity,
    ActivityQuery,
    ActivitySearch,
    Answer,
    AnswerReceipt,
    Broadcast,
    IncomingMessage,
    JsonObject,
    QueueReceipt,
    Source,
    Stream,
    WaitingCaller,
    WorkspaceId,
)
from services.a2a_proxy.reported_activity import ReportedActivity
from services.chassis import strict_json
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind
from services.chassis.timestamps import duration_from_timedelta, timedelta_from_duration, timestamp_from_datetime

OK = 200

ACCEPTED = 202

OPEN_STATES = frozenset({"queued", "dispatching"})
"""The plane still works on a message with one of these states."""

ADMIN_SCOPE = "admin"
"""The scope of a token that acts for its whole organisation."""

MAX_PAGE_SIZE = 500
"""Rows of the largest page of activity."""

DEFAULT_PAGE_SIZE = 100
"""Rows of a page if the caller gives no valid size."""


MAX_FRAME_BODY_BYTES = 10 * 1024 * 1024
"""Bytes of the largest body of an answer that one frame carries; gRPC takes messages of 16 MiB."""

MAX_PART_BYTES = 8 * 1024 * 1024
"""Bytes of a payload in one message of a stream of broadcasts; a gRPC message may have 16 MiB."""

MAX_SEARCH_PAGE_SIZE = 200
"""Rows of the largest result of a search."""

DEFAULT_SEARCH_PAGE_SIZE = 50
"""Rows of the result of a search if the caller gives no valid number."""


def message_from_open(
    opening: pb.CallOpen, sender: Identity, *, body: bytes, began_at: float, waiting: WaitingCaller
) -> IncomingMessage:
    """Return the message of a call; its caller is `None` unless the sender is a workspace."""
    return IncomingMessage(
        target=WorkspaceId(opening.workspace_id),
        caller=workspace_from_identity(sender),
        body=body,
        headers=opening.headers,
        timeout=opening.timeout,
        request_id=opening.request_id,
        began_at=began_at,
        waiting=waiting,
        caller_org_id=sender.org_id if sender.kind is Kind.ORG else None,
        caller_token_id=sender.name if sender.kind is Kind.ORG else None,
        sees_organisation=sender.kind is Kind.ORG and ADMIN_SCOPE in sender.scopes,
    )


def workspace_from_identity(caller: Identity) -> WorkspaceId | None:
    """Return the workspace whose token a caller used; `None` for callers that are no workspace."""
    return WorkspaceId(caller.name) if caller.kind is Kind.WORKSPACE else None


def is_sent_in_chunks(answer: Answer) -> bool:
    """Whether the body of an answer is too large for one frame."""
    return len(answer.body) > MAX_FRAME_BODY_BYTES


def answer_frame(call_id: int, receipt: AnswerReceipt) -> pb.ReplyFrame:
    """Return the frame of a complete answer, or of the head of a stream."""
    answer = receipt.answer
    frame = pb.ReplyFrame(call_id=call_id)
    head = frame.head
    head.status = answer.status
    head.agent_micros = _to_microseconds(receipt.agent_time)
    for name, value in answer.headers.items():
        head.headers[name] = value
    match answer:
        case Answer() if is_sent_in_chunks(answer):
            head.body_bytes = len(answer.body)
        case Answer():
            head.body = answer.body
            head.complete = True
        case Stream():
            pass
    return frame


def queued_frame(call_id: int, receipt: QueueReceipt) -> pb.ReplyFrame:
    """Return the frame that answers a message which is stored (docs/spec/rest.md, 6.4)."""
    status, reply = _build_poll_reply(receipt) if receipt.acceptance is Acceptance.POLL else _build_reply(receipt)
    if receipt.response is not None:
        status, reply = OK, {**receipt.response, **reply}
    headers = {"content-type": "application/json"}
    if receipt.acceptance is Acceptance.REQUESTED and receipt.earlier_state is None:
        headers["preference-applied"] = "respond-async"
    head = pb.ReplyHead(status=status, headers=headers, body=strict_json.dump(reply), complete=True)
    return pb.ReplyFrame(call_id=call_id, head=head)


def _build_poll_reply(receipt: QueueReceipt) -> tuple[int, JsonObject]:
    reply = {"status": "queued", "delivery_mode": "poll", "method": receipt.method, "queue_id": receipt.queue_id}
    return OK, reply


def _build_reply(receipt: QueueReceipt) -> tuple[int, JsonObject]:
    if receipt.earlier_state is not None:
        is_open = receipt.earlier_state in OPEN_STATES
        reply = {
            "queued": is_open,
            "queue_id": receipt.queue_id,
            "status": receipt.earlier_state,
            "idempotent_hit": True,
        }
        return ACCEPTED if is_open else OK, reply
    reply = {
        "queued": True,
        "queue_id": receipt.queue_id,
        "queue_depth": receipt.depth,
        "message": _TEXTS[receipt.acceptance],
    }
    if receipt.acceptance in _FLAGS:
        reply[receipt.acceptance.value] = True
    return ACCEPTED, reply


def admitted_frame(call_id: int) -> pb.ReplyFrame:
    """Return the frame that permits the announced body."""
    return pb.ReplyFrame(call_id=call_id, admitted=pb.CallAdmitted())


def chunk_frame(call_id: int, chunk: bytes) -> pb.ReplyFrame:
    """Return the frame of one chunk of a stream."""
    return pb.ReplyFrame(call_id=call_id, chunk=chunk)


def end_frame(call_id: int, *, interrupted: bool) -> pb.ReplyFrame:
    """Return the frame that ends a stream."""
    return pb.ReplyFrame(call_id=call_id, end=pb.ReplyEnd(interrupted=interrupted))


def refusal_frame(call_id: int, error: ServiceError, agent_time: timedelta = timedelta()) -> pb.ReplyFrame:
    """Return the frame of an error, with the fields that an RPC error has."""
    refused = pb.CallRefused(
        code=int(error.code),
        reason=error.reason,
        domain=error.domain,
        message=error.message,
        details={name: strict_json.dump(value).decode() for name, value in error.details.items()},
        agent_micros=_to_microseconds(agent_time),
        retry_in=None if error.retry_in is None else duration_from_timedelta(error.retry_in),
    )
    return pb.ReplyFrame(call_id=call_id, refused=refused)


def parse_activity_query(request: activity_pb2.ListActivityRequest, clock: Clock) -> ActivityQuery:
    """Return the query of a request; raises `InvalidActivityQuery`."""
    return ActivityQuery(
        workspace_id=WorkspaceId(request.workspace_id),
        activity_type=request.type or None,
        source=_SOURCES.get(request.source),
        since=clock.now() - _parse_window(request.since) if request.HasField("since") else None,
        after=request.since_id or None,
        limit=request.page_size if 1 <= request.page_size <= MAX_PAGE_SIZE else DEFAULT_PAGE_SIZE,
    )


def parse_activity_search(request: activity_pb2.SearchActivityRequest) -> ActivitySearch:
    """Return the search of a request."""
    return ActivitySearch(
        workspace_id=WorkspaceId(request.workspace_id),
        text=request.query,
        limit=request.page_size if 1 <= request.page_size <= MAX_SEARCH_PAGE_SIZE else DEFAULT_SEARCH_PAGE_SIZE,
    )


def parse_reported_activity(request: activity_pb2.LogActivityRequest) -> ReportedActivity:
    """Return what an agent reports; raises `InvalidActivity` for a body that is not UTF-8."""
    return ReportedActivity(
        workspace_id=WorkspaceId(request.workspace_id),
        activity_type=request.activity_type,
        source_id=request.source_id if request.HasField("source_id") else None,
        target_id=request.target_id if request.HasField("target_id") else None,
        method=request.method if request.HasField("method") else None,
        summary=request.summary if request.HasField("summary") else None,
        status=request.status,
        error_detail=request.error_detail if request.HasField("error_detail") else None,
        duration_ms=request.duration_ms if request.HasField("duration_ms") else None,
        request_body=_decode_body(request.request_body) if request.HasField("request_body") else None,
        response_body=_decode_body(request.response_body) if request.HasField("response_body") else None,
        metadata=_decode_body(request.metadata) if request.HasField("metadata") else None,
    )


def parse_agent_message(request: activity_pb2.SendAgentMessageRequest) -> AgentMessage:
    """Return the message of an agent to people."""
    return AgentMessage(
        workspace_id=WorkspaceId(request.workspace_id),
        text=request.message,
        attachments=tuple(_parse_attachment(attachment) for attachment in request.attachments),
    )


def activities_to_proto(activities: Iterable[Activity]) -> list[activity_pb2.Activity]:
    """Return activity rows as protobuf messages."""
    return [_activity_to_proto(activity) for activity in activities]


def broadcasts_to_messages(broadcasts: Iterable[Broadcast]) -> Iterator[broadcasts_pb2.WatchBroadcastsResponse]:
    """Yield the messages of a batch: one, unless a payload is so large that it is sent in parts, in a message each."""
    message = broadcasts_pb2.WatchBroadcastsResponse()
    for broadcast in broadcasts:
        for start in range(0, len(broadcast.payload) - MAX_PART_BYTES, MAX_PART_BYTES):
            message.broadcasts.append(_part_to_proto(broadcast, start))
            yield message
            message = broadcasts_pb2.WatchBroadcastsResponse()
        message.broadcasts.append(_broadcast_to_proto(broadcast))
    yield message


def _part_to_proto(broadcast: Broadcast, start: int) -> broadcasts_pb2.Broadcast:
    """Return a part of a broadcast that is not the last one."""
    part = broadcast.payload[start : start + MAX_PART_BYTES]
    return broadcasts_pb2.Broadcast(
        event_type=broadcast.event_type,
        workspace_id=broadcast.workspace_id,
        payload=part,
        created_at=timestamp_from_datetime(broadcast.at),
        continues=True,
    )


def _broadcast_to_proto(broadcast: Broadcast) -> broadcasts_pb2.Broadcast:
    """Return a whole broadcast, or the last part of it."""
    last = max(len(broadcast.payload) - 1, 0) // MAX_PART_BYTES * MAX_PART_BYTES
    return broadcasts_pb2.Broadcast(
        event_type=broadcast.event_type,
        workspace_id=broadcast.workspace_id,
        payload=broadcast.payload[last:],
        created_at=timestamp_from_datetime(broadcast.at),
        announced_payload=broadcast.announced_payload,
    )


def _activity_to_proto(row: Activity) -> activity_pb2.Activity:
    return activity_pb2.Activity(
        id=row.id,
        workspace_id=row.workspace_id,
        activity_type=row.activity_type,
        source_id=row.source_id,
        target_id=row.target_id,
        method=row.method,
        summary=row.summary,
        status=row.status,
        duration_ms=row.duration_ms,
        error_detail=row.error_detail,
        request_body=_encode_text(row.request_body),
        response_body=_encode_text(row.response_body),
        tool_trace=_encode_text(row.tool_trace),
        created_at=timestamp_from_datetime(row.created_at),
    )


def _parse_attachment(attachment: activity_pb2.Attachment) -> Attachment:
    return Attachment(
        uri=attachment.uri,
        name=attachment.name,
        mime_type=attachment.mime_type if attachment.HasField("mime_type") else None,
        size=attachment.size if attachment.HasField("size") else None,
    )


def _decode_body(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidActivity from None


def _encode_text(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _parse_window(since: Duration) -> timedelta:
    span = timedelta_from_duration(since)
    if span <= timedelta():
        raise InvalidActivityQuery("since_secs must be a positive integer")
    return span


def _to_microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


_SOURCES = {
    activity_pb2.ACTIVITY_SOURCE_CANVAS: Source.CANVAS,
    activity_pb2.ACTIVITY_SOURCE_AGENT: Source.AGENT,
}

_FLAGS = frozenset({Acceptance.WAKING, Acceptance.STARTING, Acceptance.RESTARTING})

_TEXTS = {
    Acceptance.BUSY: "workspace agent busy — request queued, will dispatch when capacity available",
    Acceptance.WAKING: "workspace is waking from hibernation — request queued, will dispatch once it is online",
    Acceptance.STARTING: "workspace is starting — request queued, will dispatch once it is online",
    Acceptance.RESTARTING: "workspace is offline — request queued, will dispatch once it is online",
    Acceptance.UNAVAILABLE: "workspace is not available — request queued, will dispatch once it is online",
    Acceptance.REQUESTED: "request queued, as the Prefer header asks",
    Acceptance.RETRY: "connection to the workspace agent broke — request queued, will be sent again",
}
