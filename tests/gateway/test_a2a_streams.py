"""Messages pass the middleware and the gate before the proxy. test_a2a.py tests what follows."""

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from protos.auth.v1 import auth_pb2
from services.chassis.service import Servicer
from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.fake_services import FakeAuth, workspace

W = "11111111-1111-4111-8111-111111111111"
V = "22222222-2222-4222-8222-222222222222"


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


async def test_a_message_passes_the_middleware_and_its_gate():
    proxy = EchoingProxy()
    auth = FakeAuth(known={"w": workspace(W)})
    async with run_gateway_under_test(auth=auth, proxy=proxy.servicer()) as plane:
        headers = {"Authorization": "Bearer w", "X-Request-Id": "mine", "Origin": "http://localhost:3000"}
        for path in (f"/workspaces/{V}/a2a", f"/workspaces/{V}/a2a/"):
            answer = await plane.http.post(path, content=b'{"jsonrpc":"2.0"}', headers=headers)

            assert (answer.status_code, answer.content) == (200, b'{"jsonrpc":"2.0"}')
            assert answer.headers["x-request-id"] == "mine"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
            assert float(answer.headers["x-molecule-overhead-ms"]) >= 0

        [first, _] = proxy.opened
        assert 0 < first.elapsed_micros < 60_000_000
        assert (first.workspace_id, first.identity.name, first.request_id) == (V, W, "mine")
        assert auth.received[0] == auth_pb2.AuthorizeRequest(
            bearer="w", gate=auth_pb2.GATE_A2A, scope="a2a", workspace_id=V
        )

        auth.known[None] = auth.known["w"]
        counted = await plane.http.get("/metrics")
        assert (
            'molecule_http_requests_total{method="POST",path="/workspaces/{id}/a2a",status="200"} 2.0' in counted.text
        )


async def test_a_message_to_an_invalid_id_is_refused_before_the_gate(plane):
    answer = await plane.http.post("/workspaces/not-an-id/a2a", content=b"{}")

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid workspace ID"})
    assert plane.auth.received == []
