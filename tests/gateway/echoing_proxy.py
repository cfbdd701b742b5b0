"""A proxy that answers every message with itself."""

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from services.chassis.service import Servicer


class EchoingProxy(rpc.A2aProxyServiceServicer):
    """Answers every message with itself, and remembers how it was opened."""

    def __init__(self):
        self.opened = []

    async def Exchange(self, requests, context):
        async for request in requests:
            for frame in request.frames:
                if frame.HasField("open"):
                    self.opened.append(frame.open)
                    head = pb.ReplyHead(status=200, body=frame.open.body, complete=True)
                    yield pb.ExchangeResponse(frames=[pb.ReplyFrame(call_id=frame.call_id, head=head)])

    def servicer(self):
        return Servicer(
            contract=pb.DESCRIPTOR.services_by_name["A2aProxyService"],
            add=rpc.add_A2aProxyServiceServicer_to_server,
            servicer=self,
        )
