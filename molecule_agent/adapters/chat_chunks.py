"""Joins the chunks of a chat completion to one answer. Pure."""

from dataclasses import dataclass, field
from typing import Any

MAX_CALLS = 128
"""Calls of tools in one answer; a server that numbers more is wrong."""


@dataclass(slots=True, kw_only=True)
class _PartialCall:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class ChatAnswer:
    """An answer as far as its chunks have come."""

    text: str = ""
    finish_reason: str = ""
    """Why the model stopped; empty until the last chunk has come."""
    calls: dict[int, _PartialCall] = field(default_factory=dict)
    """The calls of tools, by their position."""

    def add_delta(self, delta: dict[str, Any], finish_reason: str | None) -> str:
        """Add the `delta` of a chunk; return the text that it adds. Raises ValueError for too many calls."""
        for part in delta.get("tool_calls") or ():
            position = int(part.get("index", 0))
            if not 0 <= position < MAX_CALLS:
                raise ValueError("too many calls of tools")
            call = self.calls.setdefault(position, _PartialCall())
            function = part.get("function") or {}
            call.id = part.get("id") or call.id
            call.name += function.get("name") or ""
            call.arguments += function.get("arguments") or ""
        self.finish_reason = finish_reason or self.finish_reason
        text = delta.get("content") or delta.get("refusal") or ""
        self.text += text
        return text

    def render(self) -> dict[str, Any]:
        """Return the answer as a later request repeats it."""
        rendered: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.calls:
            rendered["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.calls.values()
            ]
        return rendered
