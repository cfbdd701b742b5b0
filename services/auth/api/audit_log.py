"""Serves `AuditService`."""

from protos.auth.v1 import audit_pb2 as pb
from protos.auth.v1 import audit_pb2_grpc as rpc
from services.auth.audit_log import AuditLog
from services.auth.wire import audit_log as wire
from services.chassis import identity, pages
from services.chassis.rpc import Context


class AuditServicer(rpc.AuditServiceServicer):
    """Appends to the audit log, lists it and verifies it."""

    def __init__(self, audit_log: AuditLog) -> None:
        self._audit_log = audit_log

    async def AppendAuditRecords(
        self, request: pb.AppendAuditRecordsRequest, context: Context
    ) -> pb.AppendAuditRecordsResponse:
        """Append the records of another service."""
        await self._audit_log.append_once(wire.records_from(request.records))
        return pb.AppendAuditRecordsResponse()

    async def ListAuditRecords(
        self, request: pb.ListAuditRecordsRequest, context: Context
    ) -> pb.ListAuditRecordsResponse:
        """List records that the caller may see."""
        records = await self._audit_log.list(
            identity.current(),
            workspace_id=request.workspace_id,
            after=request.after_position if request.HasField("after_position") else None,
            limit=pages.choose_page_size(request.page_size, default=100, maximum=500),
        )
        return pb.ListAuditRecordsResponse(records=[wire.record_to(record) for record in records])

    async def VerifyAuditLog(self, request: pb.VerifyAuditLogRequest, context: Context) -> pb.VerifyAuditLogResponse:
        """Verify records of the chain."""
        return wire.report_to(await self._audit_log.verify(after=max(0, request.after_position)))
