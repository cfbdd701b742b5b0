"""Callers of the HTTP+JSON binding, of 1.0 and of 0.3."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from tests.e2e.a2a_requirements.caller import EVENT_STREAM, Caller, describe, parse_data
from tests.e2e.a2a_requirements.legacy_json import (
    read_proto_result,
    write_configuration,
    write_proto_message,
    write_push_config,
)
from tests.e2e.a2a_requirements.reply import JsonObject, Reply, find_reason

REASONS_BY_STATUS = {"INVALID_ARGUMENT": "INVALID_PARAMS", "NOT_FOUND": "METHOD_NOT_FOUND"}
"""What an error without a reason of A2A means, by its status."""


class CurrentRest(Caller):
    """Speaks HTTP+JSON of 1.0."""

    name, generation, binding, version = "HTTP+JSON 1.0", "1.0", "HTTP+JSON", "1.0"
    prefix = ""
    card_path = "/extendedAgentCard"
    subscribe_method = "POST"

    async def call(self, operation: str, params: JsonObject, headers: Mapping[str, str] | None = None) -> Reply:
        method, path, query, body = self.build(operation, params)
        content = None if body is None else json.dumps(body).encode()
        return await self.request(method, path, query, content, headers)

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send any request."""
        kind = {} if content is None else {"Content-Type": "application/json"}
        sent = {**kind, **self.build_headers(headers)}
        url = self.address.rest + path
        response = await self.http.request(method, url, params=query, content=content, headers=sent)
        return self.read(response.content, response)

    async def events(
        self, operation: str, params: JsonObject, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Reply]:
        method, path, query, body = self.build(operation, params)
        sent = self.build_headers(headers)
        url = self.address.rest + path
        async with self.http.stream(method, url, params=query, json=body, headers=sent) as response:
            if not response.headers["content-type"].startswith(EVENT_STREAM):
                yield self.read(await response.aread(), response)
                return
            async for line in response.aiter_lines():
                data = parse_data(line)
                if data is not None:
                    yield self.read(data.encode(), response)

    def build(self, operation: str, params: JsonObject) -> tuple[str, str, Mapping[str, str] | None, JsonObject | None]:
        """Return method, path, query and body of a request."""
        query = {name: _write_query_value(value) for name, value in params.items() if name not in ("id", "taskId")}
        task = f"{self.prefix}/tasks/{params.get('id', '')}"
        configs = f"{self.prefix}/tasks/{params.get('taskId', '')}/pushNotificationConfigs"
        paths = {
            "send": f"{self.prefix}/message:send",
            "stream": f"{self.prefix}/message:stream",
            "get": task,
            "list": f"{self.prefix}/tasks",
            "cancel": f"{task}:cancel",
            "subscribe": f"{task}:subscribe",
            "push set": configs,
            "push list": configs,
            "push get": f"{configs}/{params.get('id')}",
            "push delete": f"{configs}/{params.get('id')}",
            "card": self.card_path,
        }
        path = paths[operation]
        if operation in ("send", "stream"):
            return "POST", path, None, self.write_send(params)
        if operation == "push set":
            return "POST", path, None, self.write_config(params)
        if operation == "cancel" or (operation == "subscribe" and self.subscribe_method == "POST"):
            return "POST", path, None, {}
        return "DELETE" if operation == "push delete" else "GET", path, query, None

    def read(self, content: bytes, response: httpx.Response) -> Reply:
        """Return a body as a reply."""
        head = describe(response)
        try:
            body = json.loads(content) if content else None
        except ValueError:
            return Reply(reason="NO_JSON", raw=content, **head)
        if response.status_code >= 400 or (isinstance(body, dict) and _is_error(body)):
            return Reply(reason=self.read_reason(body, response.status_code), raw=body, **head)
        return Reply(value=self.read_result(body), raw=body, **head)

    def read_reason(self, body: Any, status: int) -> str:
        """Return the reason of an error, or what its status means."""
        error = body.get("error") if isinstance(body, dict) else None
        if not isinstance(error, dict):
            return f"HTTP_{status}"
        found = find_reason(error.get("details"))
        return found or REASONS_BY_STATUS.get(error.get("status", ""), str(error.get("status")))

    def write_send(self, params: JsonObject) -> JsonObject:
        return params

    def write_config(self, params: JsonObject) -> JsonObject:
        return params

    def read_result(self, body: Any) -> Any:
        return body


class LegacyRest(CurrentRest):
    """Speaks HTTP+JSON of 0.3."""

    name, generation, binding, version = "HTTP+JSON 0.3", "0.3", "HTTP+JSON", ""
    prefix = "/v1"
    card_path = "/v1/card"
    subscribe_method = "GET"

    def read_reason(self, body: Any, status: int) -> str:
        """Return the reason that the name of an error means: `TaskNotFoundError` is `TASK_NOT_FOUND`.

        0.3 prescribes no form of errors. Its SDK names them, the SDK of 1.0 answers as in 1.0.
        """
        name = body.get("type") if isinstance(body, dict) else None
        if not isinstance(name, str):
            return super().read_reason(body, status)
        words = re.findall(r"[A-Z][a-z]*", name.removesuffix("Error"))
        return "_".join(words).upper()

    def write_send(self, params: JsonObject) -> JsonObject:
        written = dict(params)
        if isinstance(params.get("message"), dict):
            written["message"] = write_proto_message(params["message"])
        configuration = write_configuration(params.get("configuration", {}))
        config = configuration.pop("pushNotificationConfig", None)
        written["configuration"] = configuration | ({"pushNotification": config} if config else {})
        return written

    def write_config(self, params: JsonObject) -> JsonObject:
        task = f"tasks/{params['taskId']}"
        name = f"{task}/pushNotificationConfigs/{params['id']}"
        config = {"name": name, "pushNotificationConfig": write_push_config(params)}
        return {"parent": task, "configId": params["id"], "config": config}

    def read_result(self, body: Any) -> Any:
        return read_proto_result(body)


def _is_error(body: JsonObject) -> bool:
    return "error" in body or (set(body) <= {"message", "type", "data"} and isinstance(body.get("message"), str))


def _write_query_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
