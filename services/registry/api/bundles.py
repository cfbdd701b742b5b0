"""The servicer of bundles."""

from protos.registry.v1 import bundles_pb2 as pb
from protos.registry.v1 import bundles_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.registry.organisations.bundles import BundleMember, Bundles
from services.registry.workspace.model import WorkspaceId


class BundleServicer(rpc.BundleServiceServicer):
    """Unwraps, asks one part, wraps."""

    def __init__(self, bundles: Bundles) -> None:
        self._bundles = bundles

    async def ExportBundle(self, request: pb.ExportBundleRequest, context: Context) -> pb.ExportBundleResponse:
        written = await self._bundles.export(identity.current(), WorkspaceId(request.workspace_id))
        return pb.ExportBundleResponse(bundle=written)

    async def ImportBundle(self, request: pb.ImportBundleRequest, context: Context) -> pb.ImportBundleResponse:
        made = await self._bundles.import_bundle(identity.current(), request.request_id, request.bundle)
        return pb.ImportBundleResponse(root=_bundle_member_to(made))


def _bundle_member_to(made: BundleMember) -> pb.BundleMember:
    """A workspace and those below it."""
    return pb.BundleMember(
        workspace_id=made.workspace.id,
        name=made.workspace.name,
        status=made.workspace.status.value,
        children=[_bundle_member_to(child) for child in made.children],
    )
