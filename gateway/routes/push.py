"""The route to which agents send their push notifications. The secret in its path is the credential."""

from functools import partial

from gateway.limits import MAX_BODY_BYTES
from gateway.request_body import read_body
from gateway.route import Call, Route
from gateway.schemas.push import AcceptedNotification
from protos.a2a_proxy.v1 import push_pb2 as pb
from protos.a2a_proxy.v1 import push_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel


class PushRoutes:
    """Routes to the A2A proxy, which sends the notifications to those who asked for them."""

    def __init__(self, a2a_proxy: ServiceChannel) -> None:
        self._a2a_proxy = a2a_proxy
        self._stub = rpc.PushServiceStub(a2a_proxy.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/a2a/push/{secret}",
                handler=self.receive,
                summary="Send a push notification of a task to those who asked for it",
                guard=None,
                success=202,
                answer=AcceptedNotification,
                refusal_statuses=frozenset({400, 404, 413, 503}),
            )
        ]

    async def receive(self, call: Call) -> object:
        """Store a notification, as A2A 0.3 or 1.0 writes it, at most 1 MiB; it is sent to its receiver afterwards."""
        secret = call.path["secret"]
        body = await read_body(call.request, MAX_BODY_BYTES, partial(self._check, secret))
        request = pb.ReceiveNotificationRequest(secret=secret, body=body)
        await self._a2a_proxy.call(self._stub.ReceiveNotification, request)
        return AcceptedNotification(status="accepted")

    async def _check(self, secret: str) -> None:
        await self._a2a_proxy.call(self._stub.CheckPushTarget, pb.CheckPushTargetRequest(secret=secret))
