"""Routes of agent cards, at the paths where A2A clients look for them."""

import hashlib
from datetime import UTC, datetime

from starlette.responses import Response

from gateway import agent_cards
from gateway.agent_cards import GrpcAddress
from gateway.card_cache import CardCache, CardKey, RenderedCard
from gateway.card_signing import CardSigner
from gateway.guards import ANY, Guard
from gateway.json_format import encode_json, json_response, parse_stored
from gateway.preconditions import build_etag, format_http_date, is_known
from gateway.route import Call, Route
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.large_bodies import run_by_size

CARD_MAX_AGE_SECONDS = 60

KEYS_MAX_AGE_SECONDS = 300

RENDERING_COST = 8
"""How much longer than parsing a message a card of the same size takes, as it is searched for addresses."""

BASE_PATHS = ("/workspaces/{id}/a2a", "/workspaces/{id}")
"""Where clients look: below the A2A address, and, like some SDKs, beside it."""


class CardRoutes:
    """Routes to the registry; the cards lead to the plane instead of the agent."""

    def __init__(
        self,
        registry: ServiceChannel,
        *,
        guard: Guard | None,
        bearer_needed: bool,
        signer: CardSigner | None = None,
        grpc_url: str = "",
    ) -> None:
        """`grpc_url` is the public address of the gRPC binding, or empty."""
        self._signer = signer
        self._grpc_url = grpc_url
        self._registry = registry
        self._stub = rpc.RegistryServiceStub(registry.channel)
        self._guard = guard
        self._bearer_needed = bearer_needed
        self._cache = CardCache()
        self._started_at = _now()

    def list_routes(self) -> list[Route]:
        """Return the current path of cards, and that of A2A clients up to 0.2, at each place, and the plane's keys."""
        return [
            *(self._route(f"{base}/.well-known/agent-card.json", "The agent card") for base in BASE_PATHS),
            *(
                self._route(f"{base}/.well-known/agent.json", "The agent card, at its older path")
                for base in BASE_PATHS
            ),
            Route(
                method="GET",
                path="/.well-known/jwks.json",
                handler=self.read_keys,
                summary="The keys with which the plane signs agent cards",
                guard=None,
                answer=dict[str, list[dict[str, str]]],
            ),
        ]

    async def read(self, call: Call) -> object:
        """Return the card, or 304 if the client has it."""
        reply: pb.GetCardResponse = await self._registry.call(
            self._stub.GetCard, pb.GetCardRequest(workspace_id=call.workspace_id), on_behalf_of=call.identity
        )
        rendered = await self._find_rendered(call, reply)
        modified_at = self._find_modified_at(reply)
        headers = {"ETag": rendered.etag, "Cache-Control": self._cache_control(), "Vary": "A2A-Version"}
        if modified_at is not None:
            headers["Last-Modified"] = format_http_date(min(modified_at, _now()))
        if is_known(call.headers, etag=rendered.etag, modified_at=modified_at):
            return Response(status_code=304, headers=headers)
        return Response(rendered.body, headers=headers, media_type="application/json")

    async def read_keys(self, call: Call) -> object:  # noqa: ARG002 - the answer is the same for all
        """Return a JSON Web Key Set, which is empty if the plane does not sign cards."""
        keys = [] if self._signer is None else [self._signer.public_key]
        return json_response({"keys": keys}, headers={"Cache-Control": f"public, max-age={KEYS_MAX_AGE_SECONDS}"})

    def _route(self, path: str, summary: str) -> Route:
        return Route(
            method="GET",
            path=path,
            handler=self.read,
            summary=summary,
            guard=self._guard,
            query={"A2A-Version": "Stands for the header of the same name"},
            headers={
                "A2A-Version": "`1.0`: the card in the form of 1.0 alone",
                "If-None-Match": "The ETag of a card that is known",
                "If-Modified-Since": "The Last-Modified of a card that is known",
            },
            refusal_statuses=frozenset({304, 401, 404, 410, 503}),
        )

    async def _find_rendered(self, call: Call, reply: pb.GetCardResponse) -> RenderedCard:
        card = reply.agent_card
        key = CardKey(
            hashlib.sha256(card).digest(),
            f"{call.base_url}/workspaces/{call.workspace_id}/a2a",
            agent_cards.accepts_current_only(call.headers.get("a2a-version") or call.query.get("A2A-Version", "")),
            _polls(reply),
            GrpcAddress(self._grpc_url, call.workspace_id) if self._grpc_url else None,
        )
        rendered = self._cache.find(key)
        if rendered is None:
            rendered = await run_by_size(RENDERING_COST * len(card), self._render, key, card)
            self._cache.put(key, rendered)
        return rendered

    def _render(self, key: CardKey, card: bytes) -> RenderedCard:
        parsed = parse_stored(card)
        form = agent_cards.render_current_card if key.is_current else agent_cards.render_hybrid_card
        card_of_agent = parsed if isinstance(parsed, dict) else {}
        shown = form(card_of_agent, url=key.url, bearer_needed=self._bearer_needed, grpc=key.grpc, polls=key.polls)
        unsigned = encode_json(shown)  # a signature is another one each time, though the card is the same
        signed = unsigned if self._signer is None else encode_json(self._signer.sign(shown))
        return RenderedCard(signed, build_etag(unsigned))

    def _find_modified_at(self, reply: pb.GetCardResponse) -> datetime | None:
        """Return when the card may have changed last; `None` if the registry does not say it.

        A gateway that was started with other settings may render the same card in another way. The time of a card that
        replaced another one within a second is a later second: then a date of the present does not count as that time.
        An agent that begins to poll changes its card without storing another one, so cards of such agents have no time.
        """
        if not reply.HasField("stored_at") or _polls(reply):
            return None
        return max(reply.stored_at.ToDatetime(UTC), self._started_at)

    def _cache_control(self) -> str:
        return f"{'public' if self._guard is None else 'private'}, max-age={CARD_MAX_AGE_SECONDS}"


def _polls(reply: pb.GetCardResponse) -> bool:
    return reply.delivery_mode == pb.DELIVERY_MODE_POLL


def choose_guard(*, public: bool) -> Guard | None:
    """Return the guard of cards: none if they are public, otherwise any valid credential."""
    return None if public else ANY


def _now() -> datetime:
    """Return the time in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
