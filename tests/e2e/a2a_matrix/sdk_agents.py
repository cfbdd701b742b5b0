"""Agents that are served by the official SDKs in JavaScript and Go, as processes of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.sdk_clients import golang, node

SDK_OFFERS: dict[str, tuple[str, str, str]] = {
    "JS 1.3": ("js 1.3", "JSONRPC", "1.0"),
    "JS 1.3 HTTP+JSON": ("js 1.3 rest", "HTTP+JSON", "1.0"),
    "JS 0.3.14": ("js 0.3", "JSONRPC", "0.3"),
    "JS 0.3.14 HTTP+JSON": ("js 0.3 rest", "HTTP+JSON", "0.3"),
    "Go 2.4": ("go 2.4", "JSONRPC", "1.0"),
    "Go 2.4 HTTP+JSON": ("go 2.4 rest", "HTTP+JSON", "1.0"),
    "Go 0.3.15": ("go 0.3", "JSONRPC", "0.3"),
}
"""The server, and the binding and version that the card offers, for each kind of agent."""


@asynccontextmanager
async def serve_sdk_agents() -> AsyncIterator[dict[str, str]]:
    """Yield the addresses of the servers by their names."""
    async with (
        node.serve_agent("1.3") as js_url,
        node.serve_agent("0.3") as old_js_url,
        golang.serve_agent("2.4") as go_url,
        golang.serve_agent("0.3") as old_go_url,
    ):
        yield {
            "js 1.3": js_url,
            "js 1.3 rest": f"{js_url}rest",
            "js 0.3": old_js_url,
            "js 0.3 rest": f"{old_js_url}rest",
            "go 2.4": go_url,
            "go 2.4 rest": f"{go_url}rest",
            "go 0.3": old_go_url,
        }
