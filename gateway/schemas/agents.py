"""Agents and their peers: registration, heartbeats, cards and discovery."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from gateway import json_format
from gateway.errors import MalformedRequest
from gateway.schemas.names import CARD_SIGNATURES, CardSignatureName, DeliveryModeName, WorkspaceStatusName
from gateway.schemas.request_model import ClampedInt32, ClampedInt64, NonEmptyText, RequestModel, WorkspaceId
from gateway.schemas.workspaces import render_delivery_mode, render_status
from protos.registry.v1 import registry_pb2

MAX_MONTHLY_SPEND = 10**12
"""US cents that a heartbeat can report at most."""


def _check_delivery_mode(mode: str) -> str:
    """Not a fault like others: this one has a text of its own, whatever else is wrong."""
    if mode not in {"", "push", "poll"}:
        raise MalformedRequest("invalid delivery_mode")
    return mode


class Registration(RequestModel):
    """Body of POST /registry/register."""

    id: NonEmptyText
    agent_card: dict[str, Any]
    url: str = ""
    delivery_mode: Annotated[str, AfterValidator(_check_delivery_mode)] = ""


class RuntimeMetadata(RequestModel):
    """What an agent declares about itself."""

    capabilities: dict[str, bool] = Field(default_factory=dict)
    idle_timeout_seconds: ClampedInt64 = 0


class Heartbeat(RequestModel):
    """Body of POST /registry/heartbeat."""

    workspace_id: NonEmptyText
    error_rate: float = 0
    sample_error: str = ""
    current_task: str = ""
    active_tasks: ClampedInt32 = 0
    uptime_seconds: ClampedInt64 = 0
    monthly_spend: ClampedInt64 = 0
    runtime_state: str = ""
    runtime_metadata: RuntimeMetadata | None = None
    agent_card: dict[str, Any] | None = None


class CardUpdate(RequestModel, title="NewCard"):
    """Body of POST /registry/update-card."""

    workspace_id: NonEmptyText
    agent_card: dict[str, Any]


class AccessCheck(RequestModel, title="AccessQuestion"):
    """Body of POST /registry/check-access."""

    caller_id: WorkspaceId
    target_id: WorkspaceId


class CardNotes(TypedDict):
    """What the plane says about a card."""

    card_signature: NotRequired[CardSignatureName]
    warnings: NotRequired[list[str]]


class RegistrationResult(CardNotes):
    """Answer of register."""

    status: Literal["registered"]
    delivery_mode: DeliveryModeName
    platform_inbound_secret: NotRequired[str]
    auth_token: NotRequired[str]


class AgentUpdateResult(TypedDict):
    """Answer of a heartbeat."""

    status: Literal["ok"]


class CardUpdateResult(CardNotes):
    """Answer of a new card."""

    status: Literal["updated"]


class DiscoveredWorkspace(TypedDict):
    """Where a workspace is reached."""

    id: str
    name: str
    url: str
    delivery_mode: DeliveryModeName


class AccessDecision(TypedDict):
    """Whether two workspaces may communicate."""

    allowed: bool


class Peer(TypedDict):
    """A workspace as its neighbours see it."""

    id: str
    name: str
    role: str | None
    tier: int
    status: WorkspaceStatusName
    agent_card: Any
    url: str
    parent_id: str | None
    active_tasks: int
    delivery_mode: DeliveryModeName


class SearchPage(TypedDict):
    """A page of what was found."""

    workspaces: list[Peer]
    next: str | None


def add_card_notes(answer: CardNotes, reply: registry_pb2.RegisterResponse | registry_pb2.UpdateCardResponse) -> None:
    """Add what the plane says about a card to an answer; nothing where it says nothing."""
    if reply.card_signature in CARD_SIGNATURES:
        answer["card_signature"] = CARD_SIGNATURES[reply.card_signature]
    if reply.warnings:
        answer["warnings"] = list(reply.warnings)


def render_peer(message: registry_pb2.Workspace) -> Peer:
    """Return a workspace as its peers see it."""
    return Peer(
        id=message.id,
        name=message.name,
        role=message.role if message.HasField("role") else None,
        tier=message.tier,
        status=render_status(message.status),
        agent_card=json_format.embed_stored(message.agent_card) if message.HasField("agent_card") else None,
        url=message.url,
        parent_id=message.parent_id if message.HasField("parent_id") else None,
        active_tasks=message.active_tasks,
        delivery_mode=render_delivery_mode(message.delivery_mode),
    )
