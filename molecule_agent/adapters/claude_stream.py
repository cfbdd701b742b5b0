"""Parses the stream format of the `claude` program (`--output-format stream-json`). Pure."""

import json
from typing import Any


class ClaudeStream:
    """
    The lines of one run. `feed` returns the text that each line adds to the answer.

    With `--include-partial-messages` a message comes in pieces and then as a whole; the whole one counts only if no
    piece of it came. Messages of agents that a tool runs name its use as their parent, and are no part of the answer.
    """

    def __init__(self) -> None:
        self.session_id = ""
        """The id by which the next run continues the conversation."""
        self.has_ended = False
        """Whether the result has come, the last line of a run."""
        self.failure = ""
        """The kind of failure that the result names; empty for a success."""
        self._has_text = False
        self._has_pieces = False

    def feed(self, line: str) -> str:
        """Return the text of a line; empty for lines of other kinds, and for those that are no JSON objects."""
        event = _parse_object(line)
        self.session_id = _get_text(event, "session_id") or self.session_id
        if event.get("parent_tool_use_id"):
            return ""
        match event.get("type"):
            case "stream_event":
                return self._read_piece(_get_object(event, "event"))
            case "assistant":
                return self._read_message(_get_object(event, "message"))
            case "result":
                return self._read_result(event)
            case _:
                return ""

    def _read_piece(self, event: dict[str, Any]) -> str:
        if event.get("type") == "message_start":
            self._has_pieces = False
        delta = _get_object(event, "delta")
        if event.get("type") != "content_block_delta" or delta.get("type") != "text_delta":
            return ""
        is_first, self._has_pieces = not self._has_pieces, True
        return self._separate(_get_text(delta, "text")) if is_first else _get_text(delta, "text")

    def _read_message(self, message: dict[str, Any]) -> str:
        if self._has_pieces:
            return ""
        blocks = message.get("content")
        texts = [
            _get_text(block, "text")
            for block in (blocks if isinstance(blocks, list) else [])
            if isinstance(block, dict) and block.get("type") == "text"
        ]
        return self._separate("".join(texts))

    def _read_result(self, event: dict[str, Any]) -> str:
        self.has_ended = True
        if event.get("is_error") or event.get("subtype") != "success":
            subtype = _get_text(event, "subtype")
            self.failure = "error" if subtype in {"", "success"} else subtype
            return ""
        return "" if self._has_text else _get_text(event, "result")

    def _separate(self, text: str) -> str:
        """Return the first text of a message, with a blank line before it if the answer has text already."""
        separator = "\n\n" if text and self._has_text else ""
        self._has_text = self._has_text or bool(text)
        return separator + text


def _parse_object(line: str) -> dict[str, Any]:
    """Return the object of a line; empty for any other line."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _get_object(event: dict[str, Any], name: str) -> dict[str, Any]:
    value = event.get(name)
    return value if isinstance(value, dict) else {}


def _get_text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""
