"""The gRPC servicer of BundleService."""

from protos.registry.v1 import bundles_pb2 as pb
from protos.registry.v1 import bundles_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.registry.organisations.bundles import BundleMember, Bundles
from services.registry.workspace.model import WorkspaceId


class BundleServicer(rpc.BundleServiceServicer):
    """Converts between protobuf and `Bundles`."""

    def __init__(self, bundles: Bundles) -> None:
        self._bundles = bundles

    async def ExportBundle(self, request: pb.ExportBundleRequest, context: Context) -> pb.ExportBundleResponse:
        bundle = await self._bundles.export(identity.current(), WorkspaceId(request.workspace_id))
        return pb.ExportBundleResponse(bundle=bundle)

    async def ImportBundle(self, request: pb.ImportBundleRequest, context: Context) -> pb.ImportBundleResponse:
        root = await self._bundles.import_bundle(identity.current(), request.request_id, request.bundle)
        return pb.ImportBundleResponse(root=_bundle_member_to(root))


def _bundle_member_to(member: BundleMember) -> pb.BundleMember:
    return pb.BundleMember(
        workspace_id=member.workspace.id,
        name=member.workspace.name,
        status=member.workspace.status.value,
        children=[_bundle_member_to(child) for child in member.children],
    )
