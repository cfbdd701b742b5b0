"""Clients that speak one version of A2A in one binding, by hand: what they send and read is what the protocol says."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

JsonObject = dict[str, Any]

LEGACY_METHODS = {
    "send": "message/send",
    "stream": "message/stream",
    "get": "tasks/get",
    "cancel": "tasks/cancel",
    "subscribe": "tasks/resubscribe",
    "push set": "tasks/pushNotificationConfig/set",
    "push get": "tasks/pushNotificationConfig/get",
    "push list": "tasks/pushNotificationConfig/list",
    "push delete": "tasks/pushNotificationConfig/delete",
    "card": "agent/getAuthenticatedExtendedCard",
}

CURRENT_METHODS = {
    "send": "SendMessage",
    "stream": "SendStreamingMessage",
    "get": "GetTask",
    "list": "ListTasks",
    "cancel": "CancelTask",
    "subscribe": "SubscribeToTask",
    "push set": "CreateTaskPushNotificationConfig",
    "push get": "GetTaskPushNotificationConfig",
    "push list": "ListTaskPushNotificationConfigs",
    "push delete": "DeleteTaskPushNotificationConfig",
    "card": "GetExtendedAgentCard",
}

WEBHOOK = "http://127.0.0.1:9/webhook"

CONFIG_ID = "p"


class Refused(Exception):
    """The answer is an error of A2A; `code` is that of JSON-RPC."""

    def __init__(self, code: object) -> None:
        super().__init__(str(code))
        self.code = code


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client reads of a task, a message or an event, whatever its version."""

    task_id: str
    state: str
    text: str


class Client:
    """A client of one workspace."""

    name: str
    operations: tuple[str, ...]

    returns_immediately = False
    """Whether a message is answered at once, and not when its task ends or waits."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        """`url` is the address of the binding."""
        self._http = http
        self._url = url

    async def call(self, operation: str, *, task_id: str = "", text: str = "") -> Any:
        """Return the result of an operation; raises `Refused`."""
        raise NotImplementedError

    def events(self, operation: str, *, task_id: str = "", text: str = "") -> AsyncIterator[Any]:
        """Yield the results of a stream; raises `Refused`."""
        raise NotImplementedError


class RpcClient(Client):
    """Speaks JSON-RPC."""

    methods: dict[str, str]
    headers: dict[str, str]

    async def call(self, operation: str, *, task_id: str = "", text: str = "") -> Any:
        answer = await self._http.post(self._url, json=self._build(operation, task_id, text), headers=self.headers)
        if answer.status_code != 200:
            raise Refused(f"HTTP {answer.status_code}")
        return _read_response(answer.json())

    async def events(self, operation: str, *, task_id: str = "", text: str = "") -> AsyncIterator[Any]:
        body = self._build(operation, task_id, text)
        async with self._http.stream("POST", self._url, json=body, headers=self.headers) as answer:
            if not answer.headers["content-type"].startswith("text/event-stream"):
                yield _read_response(json.loads(await answer.aread()))
                return
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield _read_response(json.loads(line[5:]))

    def _build(self, operation: str, task_id: str, text: str) -> JsonObject:
        params = self.build_params(operation, task_id, text)
        return {"jsonrpc": "2.0", "id": str(uuid4()), "method": self.methods[operation], "params": params}

    def build_params(self, operation: str, task_id: str, text: str) -> JsonObject:
        raise NotImplementedError


class LegacyRpcClient(RpcClient):
    """Speaks JSON-RPC of 0.3."""

    name = "JSON-RPC 0.3"
    operations = tuple(LEGACY_METHODS)
    methods = LEGACY_METHODS
    headers = {}  # noqa: RUF012 - never changed

    def build_params(self, operation: str, task_id: str, text: str) -> JsonObject:
        match operation:
            case "send" | "stream":
                message = self.build_message(text)
                return {"message": message, "configuration": {"blocking": not self.returns_immediately}}
            case "push set":
                return {"taskId": task_id, "pushNotificationConfig": {"id": CONFIG_ID, "url": WEBHOOK}}
            case "push get" | "push delete":
                return {"id": task_id, "pushNotificationConfigId": CONFIG_ID}
            case "card":
                return {}
            case _:
                return {"id": task_id}

    def build_message(self, text: str) -> JsonObject:
        parts = [{"kind": "text", "text": text}]
        return {"kind": "message", "messageId": str(uuid4()), "role": "user", "parts": parts}


class OldestRpcClient(LegacyRpcClient):
    """Speaks JSON-RPC of 0.2, as homemade clients do: a text as the content of the message, and no id."""

    name = "JSON-RPC 0.2"
    operations = tuple(operation for operation in LEGACY_METHODS if operation != "card")

    def build_message(self, text: str) -> JsonObject:
        return {"role": "user", "content": text}


class CurrentRpcClient(RpcClient):
    """Speaks JSON-RPC of 1.0."""

    name = "JSON-RPC 1.0"
    operations = tuple(CURRENT_METHODS)
    methods = CURRENT_METHODS
    headers = {"A2A-Version": "1.0"}  # noqa: RUF012 - never changed

    def build_params(self, operation: str, task_id: str, text: str) -> JsonObject:
        match operation:
            case "send" | "stream":
                return build_current_send(text, returns_immediately=self.returns_immediately)
            case "push set":
                return {"taskId": task_id, "id": CONFIG_ID, "url": WEBHOOK}
            case "push get" | "push delete":
                return {"taskId": task_id, "id": CONFIG_ID}
            case "push list":
                return {"taskId": task_id}
            case "list" | "card":
                return {}
            case _:
                return {"id": task_id}


class CurrentRestClient(Client):
    """Speaks HTTP+JSON of 1.0."""

    name = "HTTP+JSON 1.0"
    operations = tuple(CURRENT_METHODS)
    prefix = ""
    headers = {"A2A-Version": "1.0"}  # noqa: RUF012 - never changed

    async def call(self, operation: str, *, task_id: str = "", text: str = "") -> Any:
        method, path, body = self.build(operation, task_id, text)
        answer = await self._http.request(method, self._url + path, json=body, headers=self.headers)
        return self._read(answer.status_code, answer.content)

    async def events(self, operation: str, *, task_id: str = "", text: str = "") -> AsyncIterator[Any]:
        method, path, body = self.build(operation, task_id, text)
        async with self._http.stream(method, self._url + path, json=body, headers=self.headers) as answer:
            if not answer.headers["content-type"].startswith("text/event-stream"):
                yield self._read(answer.status_code, await answer.aread())
                return
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield self._read(200, line[5:].encode())

    def build(self, operation: str, task_id: str, text: str) -> tuple[str, str, JsonObject | None]:
        """Return method, path and body of a request."""
        task = f"{self.prefix}/tasks/{task_id}"
        configs = f"{task}/pushNotificationConfigs"
        bodies = {"send": self.build_send(text), "stream": self.build_send(text), "cancel": {}}
        paths = {
            "send": f"{self.prefix}/message:send",
            "stream": f"{self.prefix}/message:stream",
            "get": task,
            "list": f"{self.prefix}/tasks",
            "cancel": f"{task}:cancel",
            "subscribe": f"{task}:subscribe",
            "push set": configs,
            "push list": configs,
            "push get": f"{configs}/{CONFIG_ID}",
            "push delete": f"{configs}/{CONFIG_ID}",
            "card": self.get_card_path(),
        }
        if operation == "push set":
            return "POST", paths[operation], self.build_config(task_id)
        method = "DELETE" if operation == "push delete" else "POST" if operation in bodies else "GET"
        return method, paths[operation], bodies.get(operation)

    def build_send(self, text: str) -> JsonObject:
        return build_current_send(text, returns_immediately=self.returns_immediately)

    def build_config(self, task_id: str) -> JsonObject:
        return {"taskId": task_id, "id": CONFIG_ID, "url": WEBHOOK}

    def get_card_path(self) -> str:
        return "/extendedAgentCard"

    def _read(self, status: int, raw: bytes) -> Any:
        body = json.loads(raw) if raw else None
        if status >= 400:
            raise Refused(_find_reason(body) or f"HTTP {status}")
        if isinstance(body, dict) and "error" in body:
            raise Refused(_find_reason(body))
        return body


class LegacyRestClient(CurrentRestClient):
    """Speaks HTTP+JSON of 0.3, whose bodies are proto JSON."""

    name = "HTTP+JSON 0.3"
    operations = tuple(LEGACY_METHODS)
    prefix = "/v1"
    headers = {}  # noqa: RUF012 - never changed

    def build_send(self, text: str) -> JsonObject:
        message = {"messageId": str(uuid4()), "role": "ROLE_USER", "content": [{"text": text}]}
        return {"message": message, "configuration": {"blocking": not self.returns_immediately}}

    def build_config(self, task_id: str) -> JsonObject:
        name = f"tasks/{task_id}/pushNotificationConfigs/{CONFIG_ID}"
        config = {"name": name, "pushNotificationConfig": {"id": CONFIG_ID, "url": WEBHOOK}}
        return {"parent": f"tasks/{task_id}", "configId": CONFIG_ID, "config": config}

    def get_card_path(self) -> str:
        return "/v1/card"


HTTP_CLIENTS = (OldestRpcClient, LegacyRpcClient, CurrentRpcClient, LegacyRestClient, CurrentRestClient)


def build_current_send(text: str, *, returns_immediately: bool) -> JsonObject:
    return {"message": build_current_message(text), "configuration": {"returnImmediately": returns_immediately}}


def build_current_message(text: str) -> JsonObject:
    return {"messageId": str(uuid4()), "role": "ROLE_USER", "parts": [{"text": text}]}


def read_seen(result: Any) -> Seen:
    """Return what a result or an event says of its task."""
    for name in ("task", "statusUpdate", "artifactUpdate", "message", "msg"):
        if isinstance(result.get(name), dict) and "kind" not in result:
            result = result[name]
            break
    state = (result.get("status") or {}).get("state", "")
    state = state.removeprefix("TASK_STATE_").lower().replace("_", "-").replace("cancelled", "canceled")
    artifacts = [*result.get("artifacts", []), *([result["artifact"]] if "artifact" in result else [])]
    texts = [part.get("text", "") for artifact in artifacts for part in artifact["parts"]]
    return Seen(result.get("taskId") or result.get("id", ""), state, "".join(texts))


def _read_response(response: JsonObject) -> Any:
    if "error" in response:
        raise Refused(response["error"]["code"])
    return response.get("result")  # some servers leave out a null


def _find_reason(body: Any) -> object:
    """Return the reason of an error of HTTP+JSON, in any of its forms."""
    error = body.get("error") if isinstance(body, dict) and isinstance(body.get("error"), dict) else body
    for detail in error.get("details", []):
        if "reason" in detail:
            return detail["reason"]
    return error.get("type")
