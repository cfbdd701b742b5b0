"""The API for authors of agents: they write a class `Adapter`, derived from `BaseAdapter`."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molecule_agent.tools.workspace_tools import WorkspaceTools


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

        This is an asynchronous generator. An exception makes the task fail; its text is written to the agent's log
        only. A cancelled task raises CancelledError at the innermost `await`.
        """

    def capabilities(self) -> RuntimeCapabilities:
        """
        The functions that this agent provides itself. Called for every heartbeat.

        This package remembers message ids, so a message that is sent twice is answered once. The ids are lost when
        the process ends: an adapter that a repeated message after a crash would harm returns `RuntimeCapabilities()`.
        """
        return RuntimeCapabilities(idempotent_delivery=True)

    def idle_timeout_override(self) -> int | None:
        """Seconds without a piece of an answer after which the plane may give up; None for the plane's default."""
        return None

    def runtime_state(self) -> RuntimeState:
        """The condition of the agent. Called for every heartbeat."""
        return RuntimeState.WELL


class AdapterError(Exception):
    """ADAPTER_MODULE does not name a usable adapter; the text says why."""


def load(module: str, workspace: Workspace) -> BaseAdapter:
    """Import the dotted `module` and create its `Adapter` for `workspace`. Raises AdapterError."""
    try:
        adapter = importlib.import_module(module).Adapter(workspace)
    except Exception as error:
        raise AdapterError(f"ADAPTER_MODULE {module}: {type(error).__name__}: {error}") from error
    if not isinstance(adapter, BaseAdapter):
        raise AdapterError(f"ADAPTER_MODULE {module}: Adapter is not derived from molecule_agent.adapter.BaseAdapter")
    return adapter
