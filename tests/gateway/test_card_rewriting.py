import gzip
import json
from functools import partial

import pytest

from gateway.card_rewriting import CardRewriter
from gateway.event_memory import EventMemory
from gateway.rest_call import CARD_REQUEST, RestCall, read_http_request
from molecule_a2a.rest import routes
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb

SCOPE = {"type": "http"}
ANSWER = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"name": "n", "url": "http://10.0.0.7:9000"}}).encode()
A2A = "https://plane.example/workspaces/w/a2a"


def rewriter(sign=None):
    return CardRewriter(base_url=lambda _: "https://plane.example", bearer_needed=True, sign=sign)


def head(body=ANSWER, *, complete=True, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return pb.ReplyHead(status=200, body=body, complete=complete, headers=named, agent_micros=5, queue_micros=6)


def rewrite(given, *, message=CARD_REQUEST, version="", sign=None):
    return rewriter(sign).rewrite(SCOPE, "w", message, given, version=version)


async def render(path, given):
    """Return the response of the HTTP+JSON binding."""
    target = routes.find_targets(path)["GET"]
    call = RestCall(
        target,
        read_request=partial(read_http_request, target=target, version="", query=""),
        memory=EventMemory(),
        rewrite_card=partial(rewriter().rewrite, SCOPE, "w", CARD_REQUEST, version="1.0"),
    )
    return await call.render_head(given)


def test_the_reply_to_any_other_message_is_unchanged():
    given = head()

    assert rewrite(given, message=b'{"method":"SendMessage"}') is given


def test_a_card_has_the_addresses_and_signatures_of_the_plane():
    shown = rewrite(head(gzip.compress(ANSWER), content_encoding="gzip"), sign=lambda card: {**card, "signatures": [1]})

    card = json.loads(shown.body)["result"]
    assert card["supportedInterfaces"][0]["url"] == A2A
    assert card["signatures"] == [1]
    assert dict(shown.headers) == {"content-type": "application/json"}
    assert (shown.status, shown.complete, shown.agent_micros, shown.queue_micros) == (200, True, 5, 6)


def test_a_card_offers_grpc_where_the_plane_has_an_address_for_it():
    def list_bindings(**options) -> list[str]:
        rewriter = CardRewriter(base_url=lambda _: "https://plane.example", bearer_needed=True, sign=None, **options)
        shown = rewriter.rewrite(SCOPE, "w", CARD_REQUEST, head(), version="1.0")
        return [one["protocolBinding"] for one in json.loads(shown.body)["result"]["supportedInterfaces"]]

    assert "GRPC" not in list_bindings()
    assert list_bindings(grpc_url="grpc.example:443") == [*list_bindings(), "GRPC"]


@pytest.mark.parametrize("status", [200, 502])
def test_an_answer_without_a_body_gets_none(status):
    given = head(b"")
    given.status = status

    assert rewrite(given).body == b""


def test_the_form_of_a_card_follows_the_version_of_the_caller():
    assert "url" in json.loads(rewrite(head(), version="0.3").body)["result"]
    assert "url" not in json.loads(rewrite(head(), version="1.0").body)["result"]


def test_a_stream_becomes_a_whole_error():
    refused = rewrite(head(b"", complete=False, content_type="text/event-stream"))

    assert refused.complete
    assert json.loads(refused.body)["error"]["code"] == -32006


@pytest.mark.parametrize("path", ["/extendedAgentCard", "/v1/card"])
async def test_the_other_binding_rewrites_a_compressed_card(path):
    shown = await render(path, head(gzip.compress(ANSWER), content_encoding="gzip"))

    card = json.loads(shown.body)
    assert (card["url"] if "v1" in path else card["supportedInterfaces"][0]["url"]) == A2A
    assert (shown.status, b"content-encoding" in dict(shown.headers)) == (200, False)


@pytest.mark.parametrize("path", ["/extendedAgentCard", "/v1/card"])
@pytest.mark.parametrize(
    "given", [head(b"", complete=False), head(b"\x8b", content_encoding="br")], ids=["stream", "brotli"]
)
async def test_the_other_binding_refuses_a_card_that_cannot_be_rewritten(path, given):
    refused = await render(path, given)

    assert refused.status == 500
    assert b"INVALID_AGENT_RESPONSE" in refused.body or b"the agent" in refused.body
