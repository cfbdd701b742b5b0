"""Routes of the audit log."""

from gateway.errors import MalformedRequest
from gateway.guards import ADMIN, PLATFORM
from gateway.ids import parse_workspace_id
from gateway.query_params import parse_limit, parse_natural_number
from gateway.route import Call, Route
from gateway.schemas.audit import AuditRecord, AuditVerification, render_record, render_verification
from protos.auth.v1 import audit_pb2 as pb
from protos.auth.v1 import audit_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

MAX_LIMIT = 500
DEFAULT_LIMIT = 100


class AuditRoutes:
    """Routes to auth, which keeps the log and its hash chain."""

    def __init__(self, auth: ServiceChannel) -> None:
        self._auth = auth
        self._stub = rpc.AuditServiceStub(auth.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/audit",
                handler=self.list_records,
                summary="The newest audit records, or those after one",
                guard=ADMIN,
                query={
                    "limit": "1 to 500; anything else is 100",
                    "after_place": "Only records after this place in the chain, oldest first",
                    "workspace_id": "Only records about this workspace",
                },
                answer=list[AuditRecord],
                refusal_statuses=frozenset({400}),
            ),
            Route(
                method="GET",
                path="/audit/verification",
                handler=self.verify,
                summary="Whether the chain of records is as it was recorded",
                guard=PLATFORM,
                query={"after_place": "Begin after this place: 0, the default, for the whole chain"},
                answer=AuditVerification,
                refusal_statuses=frozenset({400}),
            ),
        ]

    async def list_records(self, call: Call) -> object:
        """List the records that match the query."""
        workspace_id = call.query.get("workspace_id", "")
        request = pb.ListAuditRecordsRequest(
            workspace_id=parse_workspace_id(workspace_id) if workspace_id else "",
            after_position=_parse_position(call.query.get("after_place", "")),
            page_size=parse_limit(call.query.get("limit", ""), maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
        )
        reply: pb.ListAuditRecordsResponse = await self._auth.call(
            self._stub.ListAuditRecords, request, on_behalf_of=call.identity
        )
        return [render_record(message) for message in reply.records]

    async def verify(self, call: Call) -> object:
        """Verify the hash chain."""
        request = pb.VerifyAuditLogRequest(after_position=_parse_position(call.query.get("after_place", "")) or 0)
        reply: pb.VerifyAuditLogResponse = await self._auth.call(
            self._stub.VerifyAuditLog, request, on_behalf_of=call.identity
        )
        return render_verification(reply)


def _parse_position(text: str) -> int | None:
    if not text:
        return None
    place = parse_natural_number(text)
    if place is None:
        raise MalformedRequest("after_place must be a non-negative integer")
    return place
