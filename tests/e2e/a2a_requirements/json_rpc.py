"""Callers of the JSON-RPC binding, of 1.0 and of 0.3."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

import httpx

from tests.e2e.a2a_matrix.clients import CURRENT_METHODS, LEGACY_METHODS
from tests.e2e.a2a_requirements.caller import EVENT_STREAM, Caller, describe, parse_data
from tests.e2e.a2a_requirements.legacy_json import read_result, write_configuration, write_message, write_push_config
from tests.e2e.a2a_requirements.reply import REASONS_BY_CODE, JsonObject, Reply


class CurrentRpc(Caller):
    """Speaks JSON-RPC of 1.0."""

    name, generation, binding, version = "JSON-RPC 1.0", "1.0", "JSON-RPC", "1.0"
    methods: Mapping[str, str] = CURRENT_METHODS

    async def call(self, operation: str, params: JsonObject, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.post(self.build_request(operation, params), headers)

    async def post(self, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """Send any body: bytes as they are, anything else as JSON. A stream counts as its first event."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self.build_headers(headers)}
        response = await self.http.post(self.address.rpc, content=content, headers=sent)
        if response.headers.get("content-type", "").startswith(EVENT_STREAM):
            return self.read(json.loads(next(filter(None, map(parse_data, response.text.splitlines())))), response)
        return self.read(response.json(), response)

    async def events(
        self, operation: str, params: JsonObject, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Reply]:
        body = self.build_request(operation, params)
        sent = self.build_headers(headers)
        async with self.http.stream("POST", self.address.rpc, json=body, headers=sent) as response:
            if not response.headers["content-type"].startswith(EVENT_STREAM):
                yield self.read(json.loads(await response.aread()), response)
                return
            async for line in response.aiter_lines():
                data = parse_data(line)
                if data is not None:
                    yield self.read(json.loads(data), response)

    def build_request(self, operation: str, params: JsonObject) -> JsonObject:
        """Return the envelope of a request."""
        written = self.write_params(operation, params)
        return {"jsonrpc": "2.0", "id": str(uuid4()), "method": self.methods[operation], "params": written}

    def read(self, body: Any, response: httpx.Response) -> Reply:
        """Return a body as a reply."""
        head = describe(response)
        if not isinstance(body, dict) or "jsonrpc" not in body:
            return Reply(reason="NO_JSON_RPC", raw=body, **head)
        if "error" in body:
            code = body["error"]["code"]
            return Reply(reason=REASONS_BY_CODE.get(code, str(code)), raw=body, **head)
        return Reply(value=self.read_result(body.get("result")), raw=body, **head)

    def write_params(self, operation: str, params: JsonObject) -> JsonObject:
        del operation
        return params

    def read_result(self, result: Any) -> Any:
        return result


class LegacyRpc(CurrentRpc):
    """Speaks JSON-RPC of 0.3."""

    name, generation, binding, version = "JSON-RPC 0.3", "0.3", "JSON-RPC", ""
    methods: Mapping[str, str] = LEGACY_METHODS

    def write_params(self, operation: str, params: JsonObject) -> JsonObject:
        match operation:
            case "send" | "stream":
                written = dict(params)
                if isinstance(params.get("message"), dict):
                    written["message"] = write_message(params["message"])
                if "configuration" in params:
                    written["configuration"] = write_configuration(params["configuration"])
                return written
            case "push set":
                return {"taskId": params["taskId"], "pushNotificationConfig": write_push_config(params)}
            case "push get" | "push delete":
                return {"id": params["taskId"], "pushNotificationConfigId": params["id"]}
            case "push list":
                return {"id": params["taskId"]}
            case _:
                return params

    def read_result(self, result: Any) -> Any:
        return read_result(result)
