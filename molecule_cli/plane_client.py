"""The REST client of the plane."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from molecule_cli.answer_json import parse_json
from molecule_cli.errors import CliError, PlaneRefusal
from molecule_cli.settings import Connection

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

    def checks(self) -> dict[str, dict[str, Any]]:
        """Return the check of each service by its name. A plane that is not ready answers this too."""
        with self.explain_errors():
            checks: dict[str, dict[str, Any]] = parse_json(self._client.get("/ready").content)["checks"]
            return {name: {**check, "status": str(check["status"])} for name, check in checks.items()}

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        timeout_seconds: float | None = None,
    ) -> Any:  # noqa: ANN401 - JSON is anything
        """Send one request and return the answer, as JSON; query values that are `None` are left out.

        `timeout_seconds` limits each step: to connect, and to send or receive anything.
        """
        with self.explain_errors():
            return parse_json(self._send(method, path, query, body, timeout_seconds).content)

    def read_page(self, path: str, *, query: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """Return the first page of a list, and whether there is another one (RFC 8288); `query` as in `request`."""
        with self.explain_errors():
            response = self._send("GET", path, query, None)
            return parse_json(response.content), "next" in response.links

    @contextmanager
    def explain_errors(self) -> Iterator[None]:
        """Turn the errors of HTTP and of answers that are not the plane's into `CliError`."""
        try:
            yield
        except httpx.ConnectError:
            message = (
                f"no plane answers at {self._client.base_url}: start it with molecule up,"
                " or set MOLECULE_HOME, PORT or MOLECULE_URL as for molecule up"
            )
            raise CliError(message) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = (
                f"talking to {self._client.base_url} failed: {error or type(error).__name__};"
                " molecule status tells whether the plane answers"
            )
            raise CliError(message) from None
        except (ValueError, KeyError, TypeError):
            message = f"what answers at {self._client.base_url} is not a plane: check MOLECULE_URL"
            raise CliError(message) from None

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: object,
        timeout_seconds: float | None = None,
    ) -> httpx.Response:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        timeout = httpx.USE_CLIENT_DEFAULT if timeout_seconds is None else httpx.Timeout(timeout_seconds)
        return require_success(self._client.request(method, path, params=params, json=body, timeout=timeout))


def require_success(response: httpx.Response) -> httpx.Response:
    """Return the response, whose body was read; raises `PlaneRefusal` if it is an error."""
    if response.is_success:
        return response
    raise build_refusal(response)


def build_refusal(response: httpx.Response) -> PlaneRefusal:
    """Return the error for a response that is none of success, with the next step."""
    message = _get_error_text(response)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        message = f"{message}: set MOLECULE_TOKEN (or ADMIN_TOKEN) to a token that this plane accepts"
    elif message == "workspace not found":
        message = f"{message}: molecule status lists the workspaces"
    answer = _decode_answer(response)
    if scope := answer.get("required_scope"):
        message = f"{message}: it needs the scope {scope}"
    return PlaneRefusal(message, answer, status=response.status_code)


@contextmanager
def open_plane(settings: Connection, *, timeout_seconds: float | None = None) -> Iterator[PlaneClient]:
    """Open a client of the plane that the settings name; `timeout_seconds` limits each step of every request."""
    headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
    try:
        timeout = CONNECT_TIMEOUT_ONLY if timeout_seconds is None else httpx.Timeout(timeout_seconds)
        client = httpx.Client(base_url=settings.url, headers=headers, timeout=timeout, trust_env=False)
    except httpx.InvalidURL as error:
        message = f"the URL {settings.url} is wrong: {error}"
        raise CliError(message) from None
    with client:
        yield PlaneClient(client)


def _get_error_text(response: httpx.Response) -> str:
    try:
        error = parse_json(response.content)["error"]
    except (ValueError, KeyError, TypeError):
        return f"the plane answered {response.status_code} {response.reason_phrase}"
    return str(error.get("message") if isinstance(error, dict) else error)


def _decode_answer(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = parse_json(response.content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
