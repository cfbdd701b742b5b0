"""The servicer of push notifications."""

from protos.a2a_proxy.v1 import push_pb2 as pb
from protos.a2a_proxy.v1 import push_pb2_grpc as rpc
from services.a2a_proxy.push.reception import PushReception
from services.chassis.rpc import Context


class PushServicer(rpc.PushServiceServicer):
    """Takes the notifications that agents send to the gateway."""

    def __init__(self, reception: PushReception) -> None:
        self._reception = reception

    async def CheckPushTarget(self, request: pb.CheckPushTargetRequest, context: Context) -> pb.CheckPushTargetResponse:
        """Say whether a secret belongs to a target."""
        await self._reception.check(request.secret)
        return pb.CheckPushTargetResponse()

    async def ReceiveNotification(
        self, request: pb.ReceiveNotificationRequest, context: Context
    ) -> pb.ReceiveNotificationResponse:
        """Store a notification."""
        await self._reception.receive(request.secret, request.body)
        return pb.ReceiveNotificationResponse()
