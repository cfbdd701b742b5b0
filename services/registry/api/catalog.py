"""The gRPC servicer of CatalogService."""

from protos.registry.v1 import catalog_pb2 as pb
from protos.registry.v1 import catalog_pb2_grpc as rpc
from services.chassis.rpc import Context
from services.registry.catalog import Catalog, Provider, Runtime


class CatalogServicer(rpc.CatalogServiceServicer):
    """Converts between protobuf and the catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def GetRuntime(self, request: pb.GetRuntimeRequest, context: Context) -> pb.GetRuntimeResponse:
        runtime = self._catalog.find_runtime(request.runtime)
        return _runtime_to(runtime, self._catalog.providers) if runtime else pb.GetRuntimeResponse()

    async def ReadImages(self, request: pb.ReadImagesRequest, context: Context) -> pb.ReadImagesResponse:
        runtimes = self._catalog.startable_runtimes(uses_images=True)
        images = [pb.RuntimeImage(runtime=runtime, image=self._catalog.image(runtime)) for runtime in runtimes]
        return pb.ReadImagesResponse(images=images)


def _runtime_to(runtime: Runtime, providers: tuple[Provider, ...]) -> pb.GetRuntimeResponse:
    return pb.GetRuntimeResponse(
        required=[pb.RequiredVariable(any_of=names) for names in runtime.required],
        speaks_anthropic=runtime.speaks_anthropic,
        model_variables=runtime.model_variables,
        provider_variable=runtime.provider_variable,
        providers=[
            pb.ModelProvider(
                name=provider.name,
                model_prefixes=provider.model_prefixes,
                keys=provider.keys,
                anthropic_url=provider.anthropic_url,
            )
            for provider in providers
        ],
    )
