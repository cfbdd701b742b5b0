"""Protobuf to model and back."""

import json
from collections.abc import Iterable
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import activity_pb2, broadcasts_pb2
from services.a2a_proxy.errors import InvalidActivityQuery
from services.a2a_proxy.model import (
    Activity,
    ActivityQuery,
    Answer,
    Broadcast,
    Left,
    Letter,
    Replied,
    Source,
    Stream,
    WorkspaceId,
)
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind

MOST_ROWS = 500
"""Rows of the log that one answer holds at most."""

ROWS = 100
"""Rows where the caller does not say."""


def letter_from(opening: pb.CallOpen, sender: Identity) -> Letter:
    """The message of a call; a sender that is no workspace is nobody in particular."""
    return Letter(
        target=WorkspaceId(opening.workspace_id),
        caller=WorkspaceId(sender.name) if sender.kind is Kind.WORKSPACE else None,
        body=opening.body,
        headers=opening.headers,
        timeout=opening.timeout,
        request_id=opening.request_id,
    )


def replied_to(call_id: int, receipt: Replied) -> pb.ReplyFrame:
    """The whole of an answer, or the head of a stream."""
    answer = receipt.answer
    head = pb.ReplyHead(status=answer.status, headers=answer.headers, agent_micros=_micros(receipt.took))
    match answer:
        case Answer():
            head.body = answer.body
            head.complete = True
        case Stream():
            pass
    return pb.ReplyFrame(call_id=call_id, head=head)


def left_to(call_id: int, receipt: Left) -> pb.ReplyFrame:
    """What is told of a message that waits to be fetched."""
    told = {"status": "queued", "delivery_mode": "poll", "method": receipt.method, "queue_id": receipt.queue_id}
    body = json.dumps(told, separators=(",", ":")).encode()
    head = pb.ReplyHead(status=200, headers={"content-type": "application/json"}, body=body, complete=True)
    return pb.ReplyFrame(call_id=call_id, head=head)


def chunk_to(call_id: int, chunk: bytes) -> pb.ReplyFrame:
    """More of a stream."""
    return pb.ReplyFrame(call_id=call_id, chunk=chunk)


def end_to(call_id: int, *, interrupted: bool) -> pb.ReplyFrame:
    """The end of a stream."""
    return pb.ReplyFrame(call_id=call_id, end=pb.ReplyEnd(interrupted=interrupted))


def refused_to(call_id: int, error: ServiceError, took: timedelta = timedelta()) -> pb.ReplyFrame:
    """A refusal, with everything an RPC would tell of it."""
    refused = pb.CallRefused(
        code=int(error.code),
        reason=error.reason,
        domain=error.domain,
        message=error.message,
        details={name: json.dumps(value) for name, value in error.details.items()},
        agent_micros=_micros(took),
    )
    if error.retry_in is not None:
        refused.retry_in.FromTimedelta(error.retry_in)
    return pb.ReplyFrame(call_id=call_id, refused=refused)


def query_from(request: activity_pb2.ListActivityRequest, clock: Clock) -> ActivityQuery:
    """The rows asked for; raises `InvalidActivityQuery`."""
    return ActivityQuery(
        workspace_id=WorkspaceId(request.workspace_id),
        activity_type=request.type or None,
        source=_SOURCES.get(request.source),
        since=clock.now() - _span(request.since) if request.HasField("since") else None,
        after=request.since_id or None,
        limit=request.page_size if 1 <= request.page_size <= MOST_ROWS else ROWS,
    )


def activities_to(activities: Iterable[Activity]) -> list[activity_pb2.Activity]:
    """The rows as they travel."""
    return [_activity(activity) for activity in activities]


def broadcasts_to(broadcasts: Iterable[Broadcast]) -> list[broadcasts_pb2.Broadcast]:
    """What is told, as it travels."""
    return [_broadcast(broadcast) for broadcast in broadcasts]


def _broadcast(told: Broadcast) -> broadcasts_pb2.Broadcast:
    message = broadcasts_pb2.Broadcast(event_type=told.event_type, workspace_id=told.workspace_id, payload=told.payload)
    message.created_at.FromDatetime(told.at)
    return message


def _activity(row: Activity) -> activity_pb2.Activity:
    message = activity_pb2.Activity(
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
        request_body=_bytes(row.request_body),
        response_body=_bytes(row.response_body),
        tool_trace=_bytes(row.tool_trace),
    )
    message.created_at.FromDatetime(row.created_at)
    return message


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _span(since: Duration) -> timedelta:
    span: timedelta = since.ToTimedelta()
    if span <= timedelta():
        raise InvalidActivityQuery("since_secs must be a positive integer")
    return span


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


_SOURCES = {
    activity_pb2.ACTIVITY_SOURCE_CANVAS: Source.CANVAS,
    activity_pb2.ACTIVITY_SOURCE_AGENT: Source.AGENT,
}
