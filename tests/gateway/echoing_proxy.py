"""Proxies that answer every message with itself, or with frames of a script."""

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
                    for reply in self.reply(frame.open):
                        reply.call_id = frame.call_id
                        yield pb.ExchangeResponse(frames=[reply])

    def reply(self, opening):
        head = pb.ReplyHead(status=200, body=opening.body, complete=True)
        return [pb.ReplyFrame(head=head)]

    def servicer(self):
        return Servicer(
            contract=pb.DESCRIPTOR.services_by_name["A2aProxyService"],
            add=rpc.add_A2aProxyServiceServicer_to_server,
            servicer=self,
        )


class ScriptedProxy(EchoingProxy):
    """Answers every message with the same frames."""

    def __init__(self, *frames):
        super().__init__()
        self._frames = frames

    def reply(self, opening):
        for frame in self._frames:
            copy = pb.ReplyFrame()
            copy.CopyFrom(frame)
            yield copy
