"""The audit's face."""

from protos.auth.v1 import audit_pb2 as pb
from protos.auth.v1 import audit_pb2_grpc as rpc
from services.auth.audit import Audit
from services.auth.wire import audit as wire
from services.chassis import identity, pages
from services.chassis.rpc import Context


class AuditServicer(rpc.AuditServiceServicer):
    """Unwraps, asks, wraps."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def RecordDeeds(self, request: pb.RecordDeedsRequest, context: Context) -> pb.RecordDeedsResponse:
        """Add what was done elsewhere."""
        await self._audit.record(wire.deeds_from(request.deeds))
        return pb.RecordDeedsResponse()

    async def ListDeeds(self, request: pb.ListDeedsRequest, context: Context) -> pb.ListDeedsResponse:
        """Tell what was done."""
        links = await self._audit.list(
            identity.current(),
            workspace_id=request.workspace_id,
            after=request.after_place if request.HasField("after_place") else None,
            at_most=pages.size(request.page_size, default=100, most=500),
        )
        return pb.ListDeedsResponse(deeds=[wire.link_to(link) for link in links])

    async def VerifyDeeds(self, request: pb.VerifyDeedsRequest, context: Context) -> pb.VerifyDeedsResponse:
        """Follow the chain."""
        return wire.report_to(await self._audit.verify(after=max(0, request.after_place)))
