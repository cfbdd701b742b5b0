"""The API for authors of agents: they write a class `Adapter`, derived from `BaseAdapter`."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from molecule_agent.tools.workspace_tools import WorkspaceTools


class Tool(Protocol):
    """A function that a model may call."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str:
        """What it does and when to use it, for the model."""

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON schema of its arguments, an object."""

    async def call(self, arguments: dict[str, Any]) -> str:
        """Run the tool and return its result; the text of an exception is the result of a tool that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The workspace of this agent, as far as an adapter needs it."""

    id: str
    parent_id: str | None = None
    """The id of the parent workspace; None for a root."""
    model: str | None = None
    """The model to use; None leaves the choice to the adapter."""
    root: Path = Path("/")
    """`root / "workspace"` holds the agent's files, `root / "configs"` its configuration."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables of the process, secrets included; adapters read their options here."""
    model_tools: Sequence[Tool] = ()
    """The tools that an adapter offers to its model."""
    connected_tools: "WorkspaceTools | None" = None
    """The tools; None for an adapter that is used without a plane."""

    @property
    def tools(self) -> "WorkspaceTools":
        """What the agent may ask of the plane while it works: list peers, delegate, send files to people, and more."""
        if self.connected_tools is None:
            raise RuntimeError("the tools need a plane")
        return self.connected_tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message that the adapter answers."""

    text: str
    """The text parts, joined by line breaks; empty if there are none."""
    parts: Sequence[Mapping[str, Any]]
    """All parts as A2A 1.0 JSON: each has one of `text`, `raw`, `url`, `data`."""
    context_id: str
    """The id of the conversation; all messages of one conversation share it."""
    message_id: str
    task_id: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeCapabilities:
    """The functions that an agent provides itself, so that the plane does not."""

    provides_native_heartbeat: bool = False
    provides_native_scheduler: bool = False
    provides_native_status_mgmt: bool = False
    """The agent judges its own health: its error rate does not change the status of its workspace."""
    provides_native_session: bool = False
    """The agent has its own queue: the plane stores no messages for it while it is busy."""
    idempotent_delivery: bool = False
    """Receiving a message twice does no harm: the plane may send it again after a broken connection."""

    def to_dict(self) -> dict[str, bool]:
        """The capabilities under the names that the heartbeat uses."""
        return {
            "heartbeat": self.provides_native_heartbeat,
            "scheduler": self.provides_native_scheduler,
            "status_mgmt": self.provides_native_status_mgmt,
            "session": self.provides_native_session,
            "idempotent_delivery": self.idempotent_delivery,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One skill on the card of the agent."""

    id: str
    name: str
    description: str
    tags: Sequence[str] = ()
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """The content of the card that the adapter chooses; addresses and protocol are added to it."""

    name: str
    description: str
    skills: Sequence[Skill] = ()
    version: str = "1.0.0"


class RuntimeState(StrEnum):
    """The condition of the agent in its own judgement."""

    WELL = ""
    WEDGED = "wedged"
    """The agent cannot answer without a person's help; the plane shows the workspace as degraded."""


class BaseAdapter(ABC):
    """Answers messages. The process has one adapter, which may answer several turns at the same time."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @abstractmethod
    def card(self) -> CardFacts:
        """The content of the card. Called once, at start."""

    @abstractmethod
    def answer(self, turn: Turn) -> AsyncIterator[str]:
        """
        Yield the answer in any number of pieces; the joined pieces are the whole text.

        This is an asynchronous generator. A `TurnError` ends the task in another way than completed. Any other
        exception makes the task fail; its text is written to the agent's log only. A cancelled task raises
        CancelledError at the innermost `await`.
        """

    def capabilities(self) -> RuntimeCapabilities:
        """
        The functions that this agent provides itself. Called for every heartbeat.

        This package remembers messages, also over a restart, so a message that is sent twice is answered once.
        """
        return RuntimeCapabilities(idempotent_delivery=True)

    def may_run_again(self) -> bool:
        """
        Whether a turn that the end of the process interrupted runs again when its message comes again.

        If not, the message is answered as failed: for an adapter whose work must not be done twice, not even in part.
        """
        return self.capabilities().idempotent_delivery

    def idle_timeout_override(self) -> int | None:
        """Seconds without a piece of an answer after which the plane may give up; None for the plane's default."""
        return None

    def runtime_state(self) -> RuntimeState:
        """The condition of the agent. Called for every heartbeat."""
        return RuntimeState.WELL

    async def close(self) -> None:  # noqa: B027 - most adapters hold nothing
        """Release what the adapter holds, such as connections. Called once, after the last turn has ended."""


class TurnError(Exception):
    """
    Ends a turn in another way than completed. Callers receive the text, so it must not hold secrets.

    TurnError ── TurnFailed · TurnRejected · InputRequired
    """


class TurnFailed(TurnError):
    """The task failed."""


class TurnRejected(TurnError):
    """The agent does not accept the message; this does not count as an error of the agent."""


class InputRequired(TurnError):
    """The text is a question; the next message of the conversation is its answer."""


class AdapterError(Exception):
    """ADAPTER_MODULE does not name a usable adapter, or its options are wrong; the text says why."""
