"""Every answer on the path of messages says how long the plane took."""

import pytest

from gateway.message_timing import render_timing
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from services.chassis.errors import Unauthenticated
from services.chassis.service import Servicer
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test
from tests.gateway.fake_services import FakeAuth

PATH = "/workspaces/22222222-2222-4222-8222-222222222222/a2a"


def assert_timed(answer) -> None:
    assert 0 <= float(answer.headers["x-molecule-overhead-ms"]) < 5000
    assert answer.headers["server-timing"].startswith("agent;dur=")
    assert "queue;dur=" in answer.headers["server-timing"]
    assert len(answer.headers.get_list("x-molecule-overhead-ms")) == 1


@pytest.mark.covers("BEY-22")
@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", PATH, {"headers": {"Host": "evil.example"}}, 421),
        ("POST", PATH, {"headers": {"Origin": "https://evil.example"}}, 403),
        ("POST", PATH, {"headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
        ("POST", PATH, {"headers": {"X-Workspace-ID": "system:x"}}, 403),
        ("POST", PATH, {"content": b"x" * (10 * 1024 * 1024 + 1)}, 413),
        ("POST", "/workspaces/nonsense/a2a", {}, 400),
        ("POST", PATH, {"headers": {"Cookie": "molecule_session=s"}}, 403),
        ("GET", PATH, {}, 405),
        ("OPTIONS", PATH + "/", {}, 204),
        ("OPTIONS", PATH, {"headers": {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "x"}}, 204),
    ],
)
async def test_a_refusal_of_the_gateway_is_timed(plane, method, path, options, status):
    answer = await plane.http.request(method, path, **options)

    assert answer.status_code == status
    assert_timed(answer)


@pytest.mark.covers("BEY-22")
async def test_a_refusal_of_the_gate_and_one_of_the_rate_limiter_are_timed():
    auth = FakeAuth(known={})
    async with run_gateway_under_test(auth=auth, rate_limit=1, admin_token=ADMIN_BEARER) as plane:
        refused = await plane.http.post(PATH, content=b"{}")
        limited = await plane.http.post(PATH, content=b"{}")

    assert (refused.status_code, limited.status_code) == (401, 429)
    assert_timed(refused)
    assert_timed(limited)


@pytest.mark.covers("BEY-22")
async def test_an_internal_error_is_timed():
    class BrokenAuth(FakeAuth):
        async def Authorize(self, request, context):
            raise Unauthenticated

    async with run_gateway_under_test(auth=BrokenAuth(known={})) as plane:
        answer = await plane.http.post(PATH, content=b"{}", headers={"Authorization": "Bearer x"})

    assert answer.status_code == 500
    assert_timed(answer)


@pytest.mark.covers("BEY-22")
async def test_an_answer_of_another_route_is_not_timed(plane):
    assert "x-molecule-overhead-ms" not in (await plane.http.get("/health")).headers
    assert "x-molecule-overhead-ms" not in (await plane.http.get("/", headers={"Host": "evil.example"})).headers


class TimedProxy(rpc.A2aProxyServiceServicer):
    """Answers every message with one frame, or with a stream, whose agent and queue took long."""

    def __init__(self, *frames: pb.ReplyFrame) -> None:
        self._frames = frames

    async def Exchange(self, requests, context):
        async for request in requests:
            for frame in request.frames:
                for reply in self._frames if frame.HasField("open") else ():
                    reply.call_id = frame.call_id
                    yield pb.ExchangeResponse(frames=[reply])

    def servicer(self):
        contract = pb.DESCRIPTOR.services_by_name["A2aProxyService"]
        return Servicer(contract=contract, add=rpc.add_A2aProxyServiceServicer_to_server, servicer=self)


TIMES = {"agent_micros": 500_000, "queue_micros": 250_000}


@pytest.mark.covers("BEY-22")
@pytest.mark.parametrize(
    ("frames", "status"),
    [
        ([pb.ReplyFrame(head=pb.ReplyHead(status=202, body=b"{}", complete=True, **TIMES))], 202),
        ([pb.ReplyFrame(head=pb.ReplyHead(status=200, **TIMES)), pb.ReplyFrame(end=pb.ReplyEnd())], 200),
        (
            [
                pb.ReplyFrame(
                    refused=pb.CallRefused(code=14, reason="AGENT_BUSY", domain="molecule.a2a_proxy.v1", **TIMES)
                )
            ],
            503,
        ),
    ],
    ids=["queued", "stream", "error"],
)
async def test_the_times_of_agent_and_queue_are_told_apart_from_that_of_the_plane(frames, status):
    async with run_gateway_under_test(proxy=TimedProxy(*frames).servicer()) as plane:
        answer = await plane.http.post(PATH, content=b"{}")

    assert answer.status_code == status
    assert_timed(answer)
    assert answer.headers["server-timing"] == "agent;dur=500.000, queue;dur=250.000"


def test_the_time_of_agent_and_queue_is_not_counted_as_overhead():
    headers = dict(render_timing(0.0, agent_micros=10**18))

    assert headers[b"x-molecule-overhead-ms"] == b"0.000"
