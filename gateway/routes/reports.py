"""Routes by which agents report: activity of their workspaces, and messages to people."""

import uuid

from gateway.guards import WRITE
from gateway.limits import MAX_ACTIVITY_BYTES
from gateway.request_body import BodySpec, refuse_with_text
from gateway.route import Call, Route
from gateway.schemas.reports import LoggedActivity, NewActivity, NewAgentMessage, NewAttachment, SentAgentMessage
from protos.a2a_proxy.v1 import activity_pb2 as pb
from protos.a2a_proxy.v1 import activity_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel


class ReportRoutes:
    """Routes to the A2A proxy, which keeps the activity and broadcasts the messages."""

    def __init__(self, a2a_proxy: ServiceChannel) -> None:
        self._a2a_proxy = a2a_proxy
        self._stub = rpc.ActivityServiceStub(a2a_proxy.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/workspaces/{id}/activity",
                handler=self.log_activity,
                summary="Add a row to the activity of a workspace",
                guard=WRITE,
                body=BodySpec(
                    model=NewActivity,
                    max_bytes=MAX_ACTIVITY_BYTES,
                    text_members=("request_body", "response_body", "metadata"),
                ),
                answer=LoggedActivity,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/notify",
                handler=self.send_message,
                summary="Send a message of an agent to people, with files",
                guard=WRITE,
                body=BodySpec(model=NewAgentMessage, fault_to_error=refuse_with_text("message is required")),
                answer=SentAgentMessage,
                refusal_statuses=frozenset({404}),
            ),
        ]

    async def log_activity(self, call: Call) -> object:
        """Add a row to the activity. Bodies are stored as they were sent."""
        request = pb.LogActivityRequest(
            workspace_id=call.workspace_id,
            request_id=str(uuid.uuid4()),
            activity_type=call.body.activity_type,
            source_id=call.body.source_id,
            target_id=call.body.target_id,
            method=call.body.method,
            summary=call.body.summary,
            status=call.body.status,
            error_detail=call.body.error_detail,
            duration_ms=call.body.duration_ms,
            request_body=call.body.request_body,
            response_body=call.body.response_body,
            metadata=call.body.metadata,
        )
        await self._a2a_proxy.call(self._stub.LogActivity, request, on_behalf_of=call.identity)
        return LoggedActivity(status="logged")

    async def send_message(self, call: Call) -> object:
        """Send a message to the people who watch the workspace. It stays in the activity."""
        request = pb.SendAgentMessageRequest(
            workspace_id=call.workspace_id,
            request_id=str(uuid.uuid4()),
            message=call.body.message,
            attachments=[_render_attachment(attachment) for attachment in call.body.attachments],
        )
        await self._a2a_proxy.call(self._stub.SendAgentMessage, request, on_behalf_of=call.identity)
        return SentAgentMessage(status="sent")


def _render_attachment(attachment: NewAttachment) -> pb.Attachment:
    return pb.Attachment(uri=attachment.uri, name=attachment.name, mime_type=attachment.mime_type, size=attachment.size)
