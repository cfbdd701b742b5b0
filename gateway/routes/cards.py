"""Routes of agent cards, at the paths where A2A clients look for them."""

import hashlib

from starlette.responses import Response

from gateway import agent_cards
from gateway.guards import ANY, Guard
from gateway.json_format import encode_json, parse_stored
from gateway.route import Call, Route
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

CARD_MAX_AGE_SECONDS = 60


class CardRoutes:
    """Routes to the registry; the cards lead to the plane instead of the agent."""

    def __init__(self, registry: ServiceChannel, *, guard: Guard | None, bearer_needed: bool) -> None:
        self._registry = registry
        self._stub = rpc.RegistryServiceStub(registry.channel)
        self._guard = guard
        self._bearer_needed = bearer_needed

    def list_routes(self) -> list[Route]:
        """Return the current path, and the path of A2A clients up to 0.2."""
        return [
            self._route("/workspaces/{id}/a2a/.well-known/agent-card.json", "The agent card"),
            self._route("/workspaces/{id}/a2a/.well-known/agent.json", "The agent card, at its older path"),
        ]

    async def read(self, call: Call) -> object:
        """Return the card, or 304 if the client has it."""
        reply: pb.GetCardResponse = await self._registry.call(
            self._stub.GetCard, pb.GetCardRequest(workspace_id=call.workspace_id), on_behalf_of=call.identity
        )
        body = encode_json(self._render(call, parse_stored(reply.agent_card)))
        tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": self._cache_control(), "Vary": "A2A-Version"}
        if _matches_etag(tag, call.headers.getlist("if-none-match")):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    def _route(self, path: str, summary: str) -> Route:
        return Route(
            method="GET",
            path=path,
            handler=self.read,
            summary=summary,
            guard=self._guard,
            headers={
                "A2A-Version": "`1.0`: the card in the form of 1.0 alone",
                "If-None-Match": "The ETag of a card that is known",
            },
            refusal_statuses=frozenset({304, 401, 404, 410, 503}),
        )

    def _render(self, call: Call, card: agent_cards.Card) -> agent_cards.Card:
        url = f"{call.base_url}/workspaces/{call.workspace_id}/a2a"
        form = (
            agent_cards.render_current_card
            if agent_cards.accepts_current_only(call.headers.get("a2a-version", ""))
            else agent_cards.render_hybrid_card
        )
        return form(card, url=url, bearer_needed=self._bearer_needed)

    def _cache_control(self) -> str:
        return f"{'public' if self._guard is None else 'private'}, max-age={CARD_MAX_AGE_SECONDS}"


def choose_guard(*, public: bool) -> Guard | None:
    """Return the guard of cards: none if they are public, otherwise any valid credential."""
    return None if public else ANY


def _matches_etag(tag: str, conditions: list[str]) -> bool:
    """Whether If-None-Match names the tag, by the weak comparison of RFC 9110."""
    named = {part.strip().removeprefix("W/") for line in conditions for part in line.split(",")}
    return "*" in named or tag.removeprefix("W/") in named
