"""The audit's face."""

from protos.auth.v1 import audit_pb2 as pb
from protos.auth.v1 import audit_pb2_grpc as rpc
from services.auth.audit import AuditLog
from services.auth.wire import audit as wire
from services.chassis import identity, pages
from services.chassis.rpc import Context


class AuditServicer(rpc.AuditServiceServicer):
    """Unwraps, asks, wraps."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def AppendAuditRecords(
        self, request: pb.AppendAuditRecordsRequest, context: Context
    ) -> pb.AppendAuditRecordsResponse:
        """Add what was done elsewhere."""
        await self._audit.record(wire.deeds_from(request.records))
        return pb.AppendAuditRecordsResponse()

    async def ListAuditRecords(
        self, request: pb.ListAuditRecordsRequest, context: Context
    ) -> pb.ListAuditRecordsResponse:
        """Tell what was done."""
        links = await self._audit.list(
            identity.current(),
            workspace_id=request.workspace_id,
            after=request.after_position if request.HasField("after_position") else None,
            at_most=pages.page_size(request.page_size, default=100, most=500),
        )
        return pb.ListAuditRecordsResponse(records=[wire.link_to(link) for link in links])

    async def VerifyAuditLog(self, request: pb.VerifyAuditLogRequest, context: Context) -> pb.VerifyAuditLogResponse:
        """Follow the chain."""
        return wire.report_to(await self._audit.verify(after=max(0, request.after_position)))
