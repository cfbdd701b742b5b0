"""Checks of the agent card and of the extended card."""

import base64
import json
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from tests.e2e.a2a_requirements.caller import Caller
from tests.e2e.a2a_requirements.probe import EXTENSION_HEADERS, Probe
from tests.e2e.a2a_requirements.registry import check

CARD_BINDINGS = {"JSON-RPC": "JSONRPC", "HTTP+JSON": "HTTP+JSON", "gRPC": "GRPC"}


async def _fetch(caller: Caller, headers: dict[str, str] | None = None) -> httpx.Response:
    response = await caller.http.get(caller.address.card, headers=caller.build_headers(headers))
    assert response.status_code in (200, 304), response.text
    return response


async def _read(caller: Caller) -> dict[str, Any]:
    card: dict[str, Any] = (await _fetch(caller)).json()
    return card


@check("CARD-01")
async def card_is_served(probe: Probe) -> None:
    response = await _fetch(probe.full)
    assert response.headers["content-type"].partition(";")[0] == "application/json"
    assert isinstance(response.json(), dict)


@check("CARD-02")
async def card_has_its_members(probe: Probe) -> None:
    card = await _read(probe.full)
    texts = ("name", "description", "version", *(("url", "protocolVersion") if probe.is_legacy else ()))
    for name in texts:
        assert isinstance(card[name], str), name
        assert card[name].strip(), name
    assert isinstance(card["capabilities"], dict)
    for name in ("defaultInputModes", "defaultOutputModes"):
        assert all(isinstance(mode, str) and mode for mode in card[name]), name
    assert isinstance(card["skills"], list)
    for skill in card["skills"]:
        assert all(isinstance(skill[name], str) and skill[name] for name in ("id", "name", "description")), skill
        assert isinstance(skill["tags"], list), skill


@check("CARD-03")
async def card_declares_the_interface(probe: Probe) -> None:
    caller, card = probe.full, await _read(probe.full)
    binding = CARD_BINDINGS[caller.binding]
    if probe.is_legacy:
        offered = [{"url": card["url"], "transport": card.get("preferredTransport", "JSONRPC")}]
        urls = [one["url"] for one in [*offered, *card.get("additionalInterfaces", [])] if one["transport"] == binding]
    else:
        for one in card["supportedInterfaces"]:
            assert all(isinstance(one[name], str) for name in ("url", "protocolBinding", "protocolVersion")), one
        urls = [
            one["url"]
            for one in card["supportedInterfaces"]
            if (one["protocolBinding"], one["protocolVersion"]) == (binding, caller.generation)
        ]
    own = {"JSON-RPC": caller.address.rpc, "HTTP+JSON": caller.address.rest, "gRPC": caller.address.grpc}
    assert own[caller.binding] in urls, urls


@check("CARD-04")
async def card_has_an_age(probe: Probe) -> None:
    assert "max-age" in (await _fetch(probe.full)).headers["cache-control"]


@check("CARD-05")
async def card_has_a_tag(probe: Probe) -> None:
    tag = (await _fetch(probe.full)).headers["etag"]
    assert (await _fetch(probe.full, {"If-None-Match": tag})).status_code == 304


@check("CARD-06")
async def card_time_is_a_date(probe: Probe) -> None:
    modified = (await _fetch(probe.full)).headers.get("last-modified")
    assert modified is None or parsedate_to_datetime(modified)


@check("CARD-07")
async def extended_card_is_returned(probe: Probe) -> None:
    card = (await probe.full.call("card", {})).result
    assert (card["name"], card["skills"][0]["id"]) == ("agent full", "echo")


@check("CARD-08")
async def missing_extended_card_is_told(probe: Probe) -> None:
    reply = await probe.strict.call("card", {}, EXTENSION_HEADERS)
    reply.must_be("EXTENDED_AGENT_CARD_NOT_CONFIGURED", *(("HTTP_404",) if probe.is_legacy else ()))


@check("CARD-09")
async def extended_card_without_the_capability_is_refused(probe: Probe) -> None:
    reply = await probe.plain.call("card", {})
    legacy = ("EXTENDED_AGENT_CARD_NOT_CONFIGURED", "AUTHENTICATED_EXTENDED_CARD_NOT_CONFIGURED", "HTTP_404")
    reply.must_be("UNSUPPORTED_OPERATION", *(legacy if probe.is_legacy else ()))


@check("CARD-10")
async def signatures_name_algorithm_and_key(probe: Probe) -> None:
    for signature in (await _read(probe.full)).get("signatures", []):
        protected = signature["protected"]
        header = json.loads(base64.urlsafe_b64decode(protected + "=" * (-len(protected) % 4)))
        assert header["alg"], header
        assert header["kid"], header


@check("CARD-11")
async def card_states_capabilities(probe: Probe) -> None:
    full, plain = (await _read(probe.full))["capabilities"], (await _read(probe.plain))["capabilities"]
    assert (full.get("streaming"), full.get("pushNotifications")) == (True, True)
    assert not plain.get("streaming")
    assert not plain.get("pushNotifications")
