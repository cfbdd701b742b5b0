"""Routes of bundles: a workspace and its descendants as one file."""

import uuid
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from gateway.guards import ADMIN, PLATFORM
from gateway.json_format import encode_json
from gateway.limits import MAX_BULK_BODY_BYTES, MAX_BUNDLE_DEPTH, MAX_FILES_BYTES
from gateway.request_body import BodySpec, body_too_large, refuse_with_text
from gateway.route import Call, Route
from gateway.schemas.bundles import BundleImport, BundleMember, render_bundle_member
from protos.registry.v1 import bundles_pb2 as pb
from protos.registry.v1 import bundles_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

IMPORT_TIMEOUT = timedelta(seconds=40)
"""Time to create hundreds of workspaces."""


class BundleRoutes:
    """Routes to the registry, which writes and reads bundles."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.BundleServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/bundles/export/{id}",
                handler=self.export,
                summary="A workspace and all below it, without secrets",
                guard=ADMIN,
                answer=dict[str, Any],
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="POST",
                path="/bundles/import",
                handler=self.import_bundle,
                summary="Make the workspaces of a bundle, with new ids",
                guard=PLATFORM,
                body=BodySpec(
                    model=BundleImport,
                    fault_to_error=refuse_with_text("invalid bundle"),
                    max_bytes=MAX_BULK_BODY_BYTES,
                    max_depth=MAX_BUNDLE_DEPTH,
                ),
                success=201,
                answer=BundleMember,
            ),
        ]

    async def export(self, call: Call) -> object:
        """Return the bundle as the registry wrote it."""
        reply: pb.ExportBundleResponse = await self._registry.call(
            self._stub.ExportBundle, pb.ExportBundleRequest(workspace_id=call.workspace_id), on_behalf_of=call.identity
        )
        return Response(reply.bundle, media_type="application/json")

    async def import_bundle(self, call: Call) -> object:
        """Create the workspaces of a bundle."""
        content = encode_json(call.body.model_extra or {})
        if len(content) > MAX_FILES_BYTES:
            raise body_too_large(MAX_FILES_BYTES)
        request = pb.ImportBundleRequest(request_id=str(uuid.uuid4()), bundle=content)
        reply: pb.ImportBundleResponse = await self._registry.call(
            self._stub.ImportBundle, request, on_behalf_of=call.identity, timeout=IMPORT_TIMEOUT
        )
        return render_bundle_member(reply.root)
