"""The REST client of the plane."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from molecule_agent.credentials import Credentials
from molecule_agent.import_filter import hide_modules

with hide_modules("rich", "pygments"):
    import httpx

REQUEST_TIMEOUT_SECONDS = 10.0
"""Seconds until a call without an answer fails; well below the time between heartbeats."""

MAX_REASON_LENGTH = 300
"""Characters of a refusal that are logged."""


UploadedFile = tuple[str, bytes, str]
"""A file of a form: its name, content and MIME type."""


class PlaneError(Exception):
    """
    The plane did not carry out a request; the text says why.

    PlaneError ── PlaneUnreachable · PlaneRefused ── WorkspaceRemoved
    """


class PlaneUnreachable(PlaneError):
    """The plane did not answer."""


class PlaneRefused(PlaneError):
    """The plane refused the request."""

    def __init__(self, text: str, *, status: int = 0) -> None:
        """`status` is that of HTTP."""
        super().__init__(text)
        self.status = status


class WorkspaceRemoved(PlaneRefused):
    """The workspace was removed; the agent should end."""


class PlaneClient:
    """Calls the plane on behalf of one workspace. It is an asynchronous context manager."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self._credentials = credentials
        self._http = httpx.AsyncClient(
            base_url=url,
            verify=url.startswith("https:") and _build_tls_context(),
            timeout=REQUEST_TIMEOUT_SECONDS,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def register(self, *, workspace_id: str, card: Mapping[str, Any], url: str, delivery_mode: str | None) -> str:
        """Register the agent and store the credentials in the answer; return the delivery mode in force.

        An agent without an address has an empty `url`.
        """
        body: dict[str, Any] = {"id": workspace_id, "agent_card": card}
        if delivery_mode is not None:
            body["delivery_mode"] = delivery_mode
        if url and delivery_mode != "poll":
            body["url"] = url
        answer = await self._post("/registry/register", body)
        self._credentials.save_token(_get_text(answer, "auth_token"))
        self._credentials.save_inbound_secret(_get_text(answer, "platform_inbound_secret"))
        return _get_text(answer, "delivery_mode")

    async def heartbeat(self, body: Mapping[str, Any]) -> None:
        """Send a heartbeat."""
        await self._post("/registry/heartbeat", body)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        files: Sequence[tuple[str, UploadedFile]] = (),
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> Any:  # noqa: ANN401 - any JSON that the plane sends
        """Send one request, with a JSON `body` or a form with `files`, and return the JSON of its answer.

        Raises PlaneError. After a 401 the token file is read again, because the plane may have replaced it.
        """
        request: dict[str, Any] = {"params": query, "files": files} if files else {"params": query, "json": body}
        answer = await self._send(method, path, request, timeout_seconds)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._credentials.reread_token():
            answer = await self._send(method, path, request, timeout_seconds)
        if answer.status_code == HTTPStatus.GONE:
            raise WorkspaceRemoved(_describe_refusal(answer), status=answer.status_code)
        if not answer.is_success:
            raise PlaneRefused(_describe_refusal(answer), status=answer.status_code)
        return _parse_json(answer)

    async def _post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises PlaneError."""
        content = await self.call("POST", path, body=body)
        if not isinstance(content, dict):
            raise PlaneRefused("200, but not with a JSON object")
        return content

    async def _send(self, method: str, path: str, request: dict[str, Any], timeout_seconds: float) -> httpx.Response:
        token = self._credentials.token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._http.request(method, path, **request, headers=headers, timeout=timeout_seconds)
        except TimeoutError:
            raise PlaneUnreachable(f"no answer within {timeout_seconds:g} s") from None
        except httpx.HTTPError as error:
            raise PlaneUnreachable(f"{type(error).__name__}: {error}") from error


def _build_tls_context() -> ssl.SSLContext:
    """Return a context that verifies the plane with the trust store of this machine.

    `ssl.create_default_context` would also write the keys of the connections to the file that SSLKEYLOGFILE names.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context


def _get_text(answer: Mapping[str, Any], key: str) -> str:
    value = answer.get(key)
    return value if isinstance(value, str) else ""


def _describe_refusal(answer: httpx.Response) -> str:
    """Return the status and text of a refusal, with the reason and the detail that the plane gives for some."""
    content = _parse_json(answer)
    if not isinstance(content, dict):
        return _shorten(f"{answer.status_code} {answer.text or answer.reason_phrase}")
    parts = [
        str(content.get("error") or answer.reason_phrase),
        _get_text(content, "reason"),
        _get_text(content, "detail"),
    ]
    return _shorten(f"{answer.status_code} {': '.join(part for part in parts if part)}")


def _shorten(text: str) -> str:
    return " ".join(text[: MAX_REASON_LENGTH * 10].split())[:MAX_REASON_LENGTH]


def _parse_json(answer: httpx.Response) -> Any:  # noqa: ANN401 - any JSON that a server sends
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None
