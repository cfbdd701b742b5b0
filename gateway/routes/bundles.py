"""Bundles: trees of workspaces to take along."""

import uuid
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from gateway.bodies import Body, saying, too_large
from gateway.limits import BULK_CAP, FILES_CAP
from gateway.render import orgs as render
from gateway.render.texts import compact
from gateway.route import ADMIN, PLATFORM, Call, Route
from gateway.shapes import orgs as shapes
from protos.registry.v1 import bundles_pb2 as pb
from protos.registry.v1 import bundles_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

MANY = timedelta(seconds=40)
"""How long it may take to make hundreds of workspaces."""


class BundleRoutes:
    """Asks the registry, which packs and unpacks them."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.BundleServiceStub(registry.channel)

    def table(self) -> list[Route]:
        """What is there."""
        return [
            Route(
                method="GET",
                path="/bundles/export/{id}",
                handler=self.export,
                summary="A workspace and all below it, without secrets",
                guard=ADMIN,
                answer=dict[str, Any],
                refuses=frozenset({404}),
            ),
            Route(
                method="POST",
                path="/bundles/import",
                handler=self.add,
                summary="Make the workspaces of a bundle, with new ids",
                guard=PLATFORM,
                body=Body(shape=shapes.Bundle, refusal=saying("invalid bundle"), cap=BULK_CAP),
                success=201,
                answer=render.BundleMember,
            ),
        ]

    async def export(self, call: Call) -> object:
        """The bundle, as the registry wrote it."""
        reply: pb.ExportBundleResponse = await self._registry.call(
            self._stub.ExportBundle, pb.ExportBundleRequest(workspace_id=call.workspace_id), on_behalf_of=call.identity
        )
        return Response(reply.bundle, media_type="application/json")

    async def add(self, call: Call) -> object:
        """New workspaces."""
        content = compact(call.body.model_extra or {})
        if len(content) > FILES_CAP:
            raise too_large(FILES_CAP)
        request = pb.ImportBundleRequest(request_id=str(uuid.uuid4()), bundle=content)
        reply: pb.ImportBundleResponse = await self._registry.call(
            self._stub.ImportBundle, request, on_behalf_of=call.identity, timeout=MANY
        )
        return render.bundle_member(reply.root)
