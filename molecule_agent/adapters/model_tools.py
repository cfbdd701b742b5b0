"""Runs the tools that a model calls."""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from molecule_agent.adapter import Tool

log = logging.getLogger(__name__)

MAX_RESULT_CHARACTERS = 200_000
"""Characters of a result that the model receives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that the model asks for."""

    id: str
    name: str
    arguments: object
    """The arguments, or their JSON text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What the model receives for a call."""

    call_id: str
    text: str
    is_error: bool = False


async def run_calls(tools: Sequence[Tool], calls: Sequence[ToolCall]) -> list[ToolResult]:
    """Run all calls of a round at the same time and return their results in the order of the calls."""
    by_name = {tool.name: tool for tool in tools}
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_run_call(by_name.get(call.name), call)) for call in calls]
    return [task.result() for task in running]


async def _run_call(tool: Tool | None, call: ToolCall) -> ToolResult:
    """Return the result of a tool; an error of the tool is a result too, so that the model can go on."""
    if tool is None:
        return ToolResult(call_id=call.id, text=f"there is no tool {call.name}", is_error=True)
    try:
        arguments = json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        return ToolResult(call_id=call.id, text="the arguments must be a JSON object", is_error=True)
    try:
        text = await tool.call(arguments)
    except Exception as error:  # noqa: BLE001 - the model learns why, whatever it is
        log.warning("tool %s failed: %s: %s", call.name, type(error).__name__, error)
        return ToolResult(call_id=call.id, text=f"the tool failed: {error}"[:MAX_RESULT_CHARACTERS], is_error=True)
    return ToolResult(call_id=call.id, text=text[:MAX_RESULT_CHARACTERS])
