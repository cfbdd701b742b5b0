"""The plane as this agent sees it: register and heartbeat, over REST."""

import asyncio
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from molecule_agent.credentials import Credentials
from molecule_agent.import_filter import hide_modules

with hide_modules("rich", "pygments"):
    import httpx

REQUEST_TIMEOUT_SECONDS = 10.0
"""Seconds until a call that is not answered counts as failed; well below the time between heartbeats."""

MAX_REASON_LENGTH = 300
"""Characters of a refusal that are worth a line in the log."""


class PlaneError(Exception):
    """
    The plane did not do what it was asked; the text says why.

    PlaneError ── Unreachable · Refused ── Removed
    """


class PlaneUnreachable(PlaneError):
    """No answer came."""


class PlaneRefused(PlaneError):
    """The plane answered that it will not."""


class WorkspaceRemoved(PlaneRefused):
    """The workspace was removed; nothing this agent says matters any more."""


class PlaneClient:
    """Calls in the name of one workspace. To be entered before use."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self._credentials = credentials
        self._http = httpx.AsyncClient(
            base_url=url,
            verify=ssl.create_default_context(),
            timeout=REQUEST_TIMEOUT_SECONDS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def register(self, *, workspace_id: str, card: Mapping[str, Any], url: str, delivery_mode: str | None) -> str:
        """Tell the plane that the agent is here, and keep what it hands over; the delivery mode now in force."""
        body: dict[str, Any] = {"id": workspace_id, "agent_card": card}
        if delivery_mode is not None:
            body["delivery_mode"] = delivery_mode
        if delivery_mode != "poll":
            body["url"] = url
        answer = await self._post("/registry/register", body)
        self._credentials.save_token(_text(answer, "auth_token"))
        self._credentials.save_inbound_secret(_text(answer, "platform_inbound_secret"))
        return _text(answer, "delivery_mode")

    async def heartbeat(self, pulse: Mapping[str, Any]) -> None:
        """Tell the plane that the agent is alive and how it is."""
        await self._post("/registry/heartbeat", pulse)

    async def _post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises PlaneError. The plane may have issued another token meanwhile: after a 401 the file is read again."""
        answer = await self._send(path, body)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._credentials.reread_token():
            answer = await self._send(path, body)
        if answer.status_code == HTTPStatus.GONE:
            raise WorkspaceRemoved(_reason(answer))
        if not answer.is_success:
            raise PlaneRefused(_reason(answer))
        content = _json(answer)
        if not isinstance(content, dict):
            raise PlaneRefused(f"{answer.status_code}, but not with a JSON object")
        return content

    async def _send(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        token = self._credentials.token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                return await self._http.post(path, json=body, headers=headers)
        except TimeoutError:
            raise PlaneUnreachable(f"no answer within {REQUEST_TIMEOUT_SECONDS:g} s") from None
        except httpx.HTTPError as error:
            raise PlaneUnreachable(f"{type(error).__name__}: {error}") from error


def _text(answer: Mapping[str, Any], key: str) -> str:
    value = answer.get(key)
    return value if isinstance(value, str) else ""


def _reason(answer: httpx.Response) -> str:
    content = _json(answer)
    text = content.get("error") if isinstance(content, dict) else answer.text
    return " ".join(f"{answer.status_code} {text or answer.reason_phrase}".split())[:MAX_REASON_LENGTH]


def _json(answer: httpx.Response) -> Any:  # noqa: ANN401 - whatever a stranger sent
    try:
        return answer.json()
    except ValueError:
        return None
