"""The REST client of the plane."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx

from molecule_cli.errors import CliError, PlaneRefusal
from molecule_cli.settings import CliSettings

CONNECT_TIMEOUT_ONLY = httpx.Timeout(None, connect=5.0)
"""The plane has the deadlines for answers of agents, so the command waits without one."""


class PlaneClient:
    """Calls one plane. Every method raises `CliError` with the next step when the plane refuses or does not answer."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @property
    def client(self) -> httpx.Client:
        """The HTTP client, for commands that read event streams."""
        return self._client

    def health(self) -> dict[str, str]:
        """Return `ok` or `down` for each service by its name. A plane that is not ready answers this too."""
        with self._explain_errors():
            checks = self._client.get("/ready").json()["checks"]
        return {name: check["status"] for name, check in checks.items()}

    def request(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: object = None) -> Any:  # noqa: ANN401 - JSON is anything
        """Send one request and return the answer, as JSON; query values that are `None` are left out."""
        params = {name: value for name, value in (query or {}).items() if value is not None}
        with self._explain_errors():
            response = self._client.request(method, path, params=params, json=body)
            return self._require_success(response).json()

    def workspaces(self) -> list[dict[str, Any]]:
        with self._explain_errors():
            workspaces: list[dict[str, Any]] = self._require_success(self._client.get("/workspaces")).json()
        return workspaces

    def find(self, name_or_id: str) -> str:
        """Return the id of a workspace. An id is not looked up, because the caller may not be allowed to list them."""
        if _is_id(name_or_id):
            return name_or_id
        named = [workspace for workspace in self.workspaces() if workspace["name"] == name_or_id]
        match named:
            case [only]:
                return str(only["id"])
            case []:
                message = f"no workspace is called {name_or_id}: molecule status lists them"
                raise CliError(message)
            case _:
                ids = ", ".join(str(workspace["id"]) for workspace in named)
                message = f"{len(named)} workspaces are called {name_or_id}; use an id: {ids}"
                raise CliError(message)

    def send(self, workspace_id: str, text: str) -> dict[str, Any]:
        """Send a message and return the whole answer: the agent's JSON-RPC, or the plane's receipt if it is queued."""
        with self._explain_errors():
            response = self._client.post(f"/workspaces/{workspace_id}/a2a", json=_build_request("message/send", text))
            answer: dict[str, Any] = self._require_success(response).json()
        return _check_response(answer)

    def stream(self, workspace_id: str, text: str) -> Iterator[dict[str, Any]]:
        """Send a message and yield the events of its answer as they arrive; one if the agent does not stream."""
        request = _build_request("message/stream", text)
        with (
            self._explain_errors(),
            self._client.stream("POST", f"/workspaces/{workspace_id}/a2a", json=request) as response,
        ):
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                response.read()
                yield _check_response(self._require_success(response).json())
                return
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield _check_response(json.loads(line.removeprefix("data:")))

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            message = f"no plane answers at {self._client.base_url}: start it with make up, or set MOLECULE_URL"
            raise CliError(message) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = f"talking to {self._client.base_url} failed: {error or type(error).__name__}"
            raise CliError(message) from None
        except (ValueError, KeyError, TypeError):
            message = f"what answers at {self._client.base_url} is not a plane: check MOLECULE_URL"
            raise CliError(message) from None

    @staticmethod
    def _require_success(response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        message = _get_error_text(response)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            message = f"{message}: set MOLECULE_TOKEN (or ADMIN_TOKEN) to a token that this plane accepts"
        elif message == "workspace not found":
            message = f"{message}: molecule status lists what there is"
        raise PlaneRefusal(message, _decode_answer(response))


@contextmanager
def open_plane(settings: CliSettings) -> Iterator[PlaneClient]:
    """Open a client of the plane that the settings name."""
    headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
    try:
        client = httpx.Client(base_url=settings.url, headers=headers, timeout=CONNECT_TIMEOUT_ONLY, trust_env=False)
    except httpx.InvalidURL as error:
        message = f"MOLECULE_URL is wrong: {error}"
        raise CliError(message) from None
    with client:
        yield PlaneClient(client)


def _build_request(method: str, text: str) -> dict[str, Any]:
    message = {"role": "user", "messageId": str(uuid4()), "parts": [{"kind": "text", "text": text}]}
    return {"jsonrpc": "2.0", "id": str(uuid4()), "method": method, "params": {"message": message}}


def _check_response(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer; raise `CliError` if it is a JSON-RPC error of the agent."""
    error = answer.get("error")
    if isinstance(error, dict):
        message = f"the agent refused: {error.get('message')} ({error.get('code')})"
        raise CliError(message)
    return answer


def _get_error_text(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return f"the plane answered {response.status_code} {response.reason_phrase}"
    return str(error.get("message") if isinstance(error, dict) else error)


def _decode_answer(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
