"""Routes of accepted messages: for their senders and targets, and for operators."""

from urllib.parse import urlencode

from google.protobuf.duration_pb2 import Duration
from starlette.responses import Response

from gateway import errors
from gateway.errors import MalformedRequest
from gateway.guards import ADMIN, ANY
from gateway.ids import parse_workspace_id
from gateway.json_format import json_response
from gateway.query_params import parse_limit, parse_natural_number
from gateway.request_body import BodySpec
from gateway.route import Call, Route
from gateway.schemas.queue import (
    STATES,
    DropResult,
    QueueAccounts,
    QueuedMessageDetail,
    QueuedMessageStatus,
    QueueNote,
    render_accounts,
    render_detail,
    render_status,
)
from protos.a2a_proxy.v1 import queue_pb2 as pb
from protos.a2a_proxy.v1 import queue_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError

MAX_LIMIT = 500

DEFAULT_LIMIT = 100

DEFAULT_STALE_MINUTES = 60

MAX_STALE_MINUTES = 60 * 24 * 365
"""Larger ages are read as this one."""


class QueueRoutes:
    """Routes to the A2A proxy, which keeps the queue."""

    def __init__(self, a2a_proxy: ServiceChannel) -> None:
        self._a2a_proxy = a2a_proxy
        self._stub = rpc.QueueServiceStub(a2a_proxy.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/a2a/queue/{queueId}",
                handler=self.get_status,
                summary="What became of an accepted message, for its sender and its target",
                guard=ANY,
                answer=QueuedMessageStatus,
                refusal_statuses=frozenset({404}),
                render_refusal=_hide_refusal,
            ),
            Route(
                method="GET",
                path="/admin/a2a-queue/accounts",
                handler=self.list_accounts,
                summary="How many messages were accepted, and how many of them are in each state",
                guard=ADMIN,
                query={"workspace_id": "Only messages for this workspace"},
                answer=QueueAccounts,
                refusal_statuses=frozenset({400}),
            ),
            Route(
                method="GET",
                path="/admin/a2a-queue",
                handler=self.list_messages,
                summary="Accepted messages, the newest first",
                guard=ADMIN,
                query={
                    "status": "Only messages in these states, separated by commas",
                    "workspace_id": "Only messages for this workspace",
                    "limit": "1 to 500; anything else is 100",
                    "cursor": "Where the page begins: that of the `Link` header of the page before",
                },
                answer=list[QueuedMessageDetail],
                refusal_statuses=frozenset({400}),
            ),
            Route(
                method="GET",
                path="/admin/a2a-queue/{queueId}",
                handler=self.get,
                summary="One accepted message with its attempts, its request and its answer",
                guard=ADMIN,
                answer=QueuedMessageDetail,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="POST",
                path="/admin/a2a-queue/{queueId}/requeue",
                handler=self.requeue,
                summary="Deliver a dead or unknown message again",
                guard=ADMIN,
                answer=QueuedMessageDetail,
                refusal_statuses=frozenset({404, 409}),
            ),
            Route(
                method="POST",
                path="/admin/a2a-queue/{queueId}/resolve",
                handler=self.resolve,
                summary="Complete a dead or unknown message without delivering it",
                guard=ADMIN,
                body=BodySpec(model=QueueNote, required=False),
                answer=QueuedMessageDetail,
                refusal_statuses=frozenset({404, 409}),
            ),
            Route(
                method="POST",
                path="/admin/a2a-queue/{queueId}/drop",
                handler=self.drop,
                summary="Drop a message that is not being delivered",
                guard=ADMIN,
                body=BodySpec(model=QueueNote, required=False),
                answer=QueuedMessageDetail,
                refusal_statuses=frozenset({404, 409}),
            ),
            Route(
                method="POST",
                path="/admin/a2a-queue/drop-stale",
                handler=self.drop_stale,
                summary="Drop the messages that have waited too long",
                guard=ADMIN,
                query={
                    "max_age_minutes": "Messages that were accepted longer ago are dropped; 60 if absent",
                    "workspace_id": "Only messages for this workspace",
                },
                answer=DropResult,
                refusal_statuses=frozenset({400}),
            ),
        ]

    async def get_status(self, call: Call) -> object:
        """Return one message to its sender or its target."""
        request = pb.GetQueuedMessageRequest(id=call.path["queueId"], workspace_id=call.workspace_id)
        reply: pb.GetQueuedMessageResponse = await self._a2a_proxy.call(
            self._stub.GetQueuedMessage, request, on_behalf_of=call.identity
        )
        return render_status(reply.message)

    async def get(self, call: Call) -> object:
        """Return one message to an operator."""
        request = pb.GetQueuedMessageRequest(id=call.path["queueId"])
        reply: pb.GetQueuedMessageResponse = await self._a2a_proxy.call(
            self._stub.GetQueuedMessage, request, on_behalf_of=call.identity
        )
        return render_detail(reply.message)

    async def list_messages(self, call: Call) -> object:
        """List the messages that match the query."""
        limit = parse_limit(call.query.get("limit", ""), maximum=MAX_LIMIT, default=DEFAULT_LIMIT)
        request = pb.ListQueuedMessagesRequest(
            workspace_id=_parse_workspace(call),
            states=_parse_states(call.query.get("status", "")),
            page_size=limit,
            page_token=call.query.get("cursor", ""),
        )
        reply: pb.ListQueuedMessagesResponse = await self._a2a_proxy.call(
            self._stub.ListQueuedMessages, request, on_behalf_of=call.identity
        )
        content = [render_detail(message) for message in reply.messages]
        return json_response(content, headers=_build_link(call, limit, reply.next_page_token))

    async def list_accounts(self, call: Call) -> object:
        """List the accounts of the targets."""
        request = pb.ListQueueAccountsRequest(workspace_id=_parse_workspace(call))
        reply: pb.ListQueueAccountsResponse = await self._a2a_proxy.call(
            self._stub.ListQueueAccounts, request, on_behalf_of=call.identity
        )
        return render_accounts(list(reply.accounts))

    async def requeue(self, call: Call) -> object:
        """Deliver a message again."""
        request = pb.RequeueMessageRequest(id=call.path["queueId"])
        reply: pb.RequeueMessageResponse = await self._a2a_proxy.call(
            self._stub.RequeueMessage, request, on_behalf_of=call.identity
        )
        return render_detail(reply.message)

    async def resolve(self, call: Call) -> object:
        """Complete a message without delivering it."""
        request = pb.ResolveMessageRequest(id=call.path["queueId"], note=call.body.note)
        reply: pb.ResolveMessageResponse = await self._a2a_proxy.call(
            self._stub.ResolveMessage, request, on_behalf_of=call.identity
        )
        return render_detail(reply.message)

    async def drop(self, call: Call) -> object:
        """Drop a message."""
        request = pb.DropMessageRequest(id=call.path["queueId"], note=call.body.note)
        reply: pb.DropMessageResponse = await self._a2a_proxy.call(
            self._stub.DropMessage, request, on_behalf_of=call.identity
        )
        return render_detail(reply.message)

    async def drop_stale(self, call: Call) -> object:
        """Drop the messages that have waited too long."""
        minutes = _parse_minutes(call.query.get("max_age_minutes", ""))
        request = pb.DropStaleMessagesRequest(age=Duration(seconds=minutes * 60), workspace_id=_parse_workspace(call))
        reply: pb.DropStaleMessagesResponse = await self._a2a_proxy.call(
            self._stub.DropStaleMessages, request, on_behalf_of=call.identity
        )
        return DropResult(dropped=reply.dropped)


def _parse_workspace(call: Call) -> str:
    workspace_id = call.query.get("workspace_id", "")
    return parse_workspace_id(workspace_id) if workspace_id else ""


def _parse_states(text: str) -> list[pb.QueueState.ValueType]:
    """Return the states of a query; raises `MalformedRequest`."""
    names = [name for name in text.split(",") if name]
    if not set(names) <= STATES.keys():
        raise MalformedRequest(f"status must be one of: {', '.join(STATES)}")
    return [STATES[name] for name in names[: len(STATES)]]


def _parse_minutes(text: str) -> int:
    minutes = parse_natural_number(text) if text else DEFAULT_STALE_MINUTES
    if not minutes:
        raise MalformedRequest("max_age_minutes must be a positive integer")
    return min(minutes, MAX_STALE_MINUTES)


def _build_link(call: Call, limit: int, next_cursor: str) -> dict[str, str]:
    """Return the header that names the next page (RFC 8288); the last page has none."""
    if not next_cursor:
        return {}
    kept = {name: call.query[name] for name in ("status", "workspace_id") if name in call.query}
    query = urlencode({**kept, "limit": limit, "cursor": next_cursor})
    return {"Link": f'<{call.base_url}/admin/a2a-queue?{query}>; rel="next"'}


def _hide_refusal(_: str, error: ServiceError) -> Response | None:
    """Answer a caller without rights as if the message did not exist."""
    if not errors.is_about_rights(error):
        return None
    return json_response({"error": "queue item not found"}, 404)
