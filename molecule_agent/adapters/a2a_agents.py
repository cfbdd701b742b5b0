"""The adapter that fronts an existing A2A agent: it passes each message on, and the answer back as it comes."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing
from typing import Any

import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.helpers.proto_helpers import get_artifact_text, get_message_text
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    StreamResponse,
    Task,
    TaskState,
    TaskStatus,
)
from a2a.utils.errors import A2AError
from google.protobuf.json_format import ParseDict

from molecule_agent.adapter import (
    AdapterError,
    BaseAdapter,
    CardFacts,
    InputRequired,
    Skill,
    Turn,
    TurnError,
    TurnFailed,
    TurnRejected,
    Workspace,
)
from molecule_agent.adapters.conversations import Conversations
from molecule_agent.adapters.options import Options

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0

CANCEL_SECONDS = 5.0
"""Seconds that the other agent may take to confirm a cancellation."""

CARD_SECONDS = 5.0
"""Seconds that the start of this agent waits for the other one's card."""

MAX_CARD_BYTES = 1024 * 1024

DEFAULT_SECONDS = 600

MAX_SECONDS = 24 * 60 * 60

POLL_SECONDS = 1.0
"""Seconds between two looks at a task of an agent that does not stream."""

RUNNING = {TaskState.TASK_STATE_UNSPECIFIED, TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING}

ENDS: Mapping[int, type[TurnError]] = {
    TaskState.TASK_STATE_FAILED: TurnFailed,
    TaskState.TASK_STATE_CANCELED: TurnFailed,
    TaskState.TASK_STATE_REJECTED: TurnRejected,
    TaskState.TASK_STATE_INPUT_REQUIRED: InputRequired,
    TaskState.TASK_STATE_AUTH_REQUIRED: InputRequired,
}

TEXTS: Mapping[type[TurnError], str] = {
    TurnFailed: "The agent behind this one could not answer.",
    TurnRejected: "The agent behind this one rejected the message.",
    InputRequired: "The agent behind this one needs an answer to go on.",
}


class RemoteConversation:
    """The ids of one conversation at the other agent; empty before its first answer."""

    def __init__(self) -> None:
        self.context_id = ""
        self.task_id = ""
        """The task that waits for the next message."""


class Adapter(BaseAdapter):
    """Passes messages on to the agent at A2A_AGENT_URL, in A2A 1.0 or 0.3 as its card says."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        options = Options(workspace.environment)
        self._url = options.require_text("A2A_AGENT_URL")
        self._host = httpx.URL(self._url).host
        if not self._url.startswith(("http://", "https://")) or not self._host:
            raise AdapterError("A2A_AGENT_URL must be an http or https URL")
        self._seconds = options.read_number("A2A_AGENT_SECONDS", DEFAULT_SECONDS, maximum=MAX_SECONDS)
        token = options.read_text("A2A_AGENT_TOKEN")
        self._auth = _HostBearer(token, self._host) if token else None
        self._http: httpx.AsyncClient | None = None
        self._client: Client | None = None
        self._conversations: Conversations[RemoteConversation] = Conversations(RemoteConversation)

    def card(self) -> CardFacts:
        """The name, description and skills of the other agent, if it answers now."""
        card = self._fetch_card()
        return CardFacts(
            name=_get_text(card, "name") or "A2A agent",
            description=_get_text(card, "description") or "Passes messages on to another A2A agent.",
            skills=[_read_skill(one) for one in card.get("skills") or [] if isinstance(one, dict)],
        )

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        async with self._conversations.use(turn.context_id) as remote:
            exchange = _Exchange(remote)
            deadline = asyncio.get_running_loop().time() + self._seconds
            try:
                async with aclosing(self._exchange(turn, exchange)) as pieces:
                    while piece := await _read_next(pieces, deadline):
                        yield piece
            except (asyncio.CancelledError, GeneratorExit):
                await self._cancel(exchange)
                raise
            except TimeoutError:
                await self._cancel(exchange)
                raise TurnFailed(f"The agent behind this one took longer than {self._seconds} seconds.") from None
            except (A2AError, httpx.HTTPError) as error:
                log.warning("the other agent failed: %s: %s", type(error).__name__, error)
                self._client = None
                raise TurnFailed(TEXTS[TurnFailed]) from error
            exchange.finish()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def _exchange(self, turn: Turn, exchange: "_Exchange") -> AsyncGenerator[str, None]:
        """Send the message and yield the text of the answer, until the task needs nothing more."""
        client = await self._connect()
        async for event in client.send_message(_build_request(turn, exchange.remote)):
            for piece in exchange.read(event):
                yield piece
        while exchange.is_running:
            await asyncio.sleep(POLL_SECONDS)
            task = await client.get_task(GetTaskRequest(id=exchange.task_id))
            for piece in exchange.read(StreamResponse(task=task)):
                yield piece

    async def _connect(self) -> Client:
        if self._http is None:
            timeout = httpx.Timeout(self._seconds, connect=CONNECT_SECONDS)
            self._http = httpx.AsyncClient(auth=self._auth, trust_env=False, timeout=timeout)
        if self._client is None:
            self._client = await ClientFactory(ClientConfig(httpx_client=self._http)).create_from_url(self._url)
        return self._client

    async def _cancel(self, exchange: "_Exchange") -> None:
        """Ask the other agent to cancel its task; it need not be able to."""
        if self._client is None or not exchange.is_running:
            return
        with contextlib.suppress(A2AError, httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._client.cancel_task(CancelTaskRequest(id=exchange.task_id))

    def _fetch_card(self) -> dict[str, Any]:
        """Return the card of the other agent; empty if it does not answer, or not with a card."""
        try:
            with httpx.Client(auth=self._auth, trust_env=False, timeout=CARD_SECONDS) as http:
                answer = http.get(f"{self._url.rstrip('/')}/.well-known/agent-card.json")
                card = json.loads(answer.content[:MAX_CARD_BYTES]) if answer.is_success else {}
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            log.warning("no card of the other agent: %s: %s", type(error).__name__, error)
            return {}
        return card if isinstance(card, dict) else {}


class _Exchange:
    """One message and what has come of its answer."""

    def __init__(self, remote: RemoteConversation) -> None:
        self.remote = remote
        self.task_id = ""
        self._status = TaskStatus()
        self._artifact_id = ""
        self._has_text = False

    @property
    def is_running(self) -> bool:
        return bool(self.task_id) and self._status.state in RUNNING

    def read(self, event: StreamResponse) -> list[str]:
        """Return the text that an event adds to the answer."""
        match event.WhichOneof("payload"):
            case "message":
                self.remote.context_id = event.message.context_id or self.remote.context_id
                return self._take("message", get_message_text(event.message))
            case "artifact_update":
                artifact = event.artifact_update.artifact
                return self._take(artifact.artifact_id, get_artifact_text(artifact, ""))
            case "status_update":
                self._remember(event.status_update.task_id, event.status_update.context_id, event.status_update.status)
            case "task":
                return self._read_task(event.task)
        return []

    def finish(self) -> None:
        """Raise the end of the turn, unless it is completed; remember the task if it waits for an answer."""
        end = ENDS.get(self._status.state)
        self.remote.task_id = self.task_id if end is InputRequired else ""
        if end is not None:
            raise end(get_message_text(self._status.message) or TEXTS[end])

    def _read_task(self, task: Task) -> list[str]:
        """Return the text of a task whose artifacts did not come as events."""
        self._remember(task.id, task.context_id, task.status)
        if self._has_text or self.is_running:
            return []
        pieces = [text for one in task.artifacts for text in self._take(one.artifact_id, get_artifact_text(one, ""))]
        if not pieces and task.status.state == TaskState.TASK_STATE_COMPLETED:
            pieces = self._take("status", get_message_text(task.status.message))
        return pieces

    def _remember(self, task_id: str, context_id: str, status: TaskStatus) -> None:
        self.task_id, self._status = task_id, status
        self.remote.context_id = context_id or self.remote.context_id

    def _take(self, artifact_id: str, text: str) -> list[str]:
        """Return a text, with a blank line before it if another artifact precedes it."""
        if not text:
            return []
        separator = "\n\n" if self._has_text and artifact_id != self._artifact_id else ""
        self._artifact_id, self._has_text = artifact_id, True
        return [separator + text]


class _HostBearer(httpx.Auth):
    """Sends the token to one host only: the card of an agent may name addresses of other hosts."""

    def __init__(self, token: str, host: str) -> None:
        self._token = token
        self._host = host

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if request.url.host == self._host:
            request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


async def _read_next(pieces: AsyncIterator[str], deadline: float) -> str:
    """Return the next piece, empty at the end; raises TimeoutError. The time of the consumer is not interrupted."""
    async with asyncio.timeout_at(deadline):
        return await anext(pieces, "")


def _build_request(turn: Turn, remote: RemoteConversation) -> SendMessageRequest:
    """Build the request with the id of the message, by which the other agent recognises a repetition."""
    message = Message(
        message_id=turn.message_id,
        role=Role.ROLE_USER,
        parts=[ParseDict(dict(part), Part(), ignore_unknown_fields=True) for part in turn.parts],
        context_id=remote.context_id,
        task_id=remote.task_id,
    )
    return SendMessageRequest(message=message)


def _read_skill(skill: dict[str, Any]) -> Skill:
    tags = skill.get("tags")
    return Skill(
        id=_get_text(skill, "id") or "skill",
        name=_get_text(skill, "name") or "Skill",
        description=_get_text(skill, "description"),
        tags=[str(tag) for tag in tags] if isinstance(tags, list) else [],
    )


def _get_text(card: Mapping[str, Any], name: str) -> str:
    value = card.get(name)
    return value if isinstance(value, str) else ""
