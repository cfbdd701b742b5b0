"""Converts the events of a streamed answer, one at a time."""

from dataclasses import dataclass

from molecule_a2a.answers import drop_history
from molecule_a2a.error_objects import convert_error
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, ConversionFailed
from molecule_a2a.events import build_task, downgrade_event, upgrade_event
from molecule_a2a.model import AnswerConversion, Dialect, JsonObject, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStep:
    """What one event of an agent becomes."""

    frames: tuple[JsonObject, ...]
    """JSON-RPC responses for the caller, each the data of one event; none for an event that the caller cannot read."""
    has_begun: bool
    """Whether the caller has received an event; goes into the next step."""
    is_last: bool
    """Whether the stream to the caller ends after these frames."""


def convert_frame(frame: object, conversion: AnswerConversion, *, has_begun: bool) -> StreamStep:
    """Return what the data of an agent's event becomes; raises `ConversionFailed` for no JSON-RPC response.

    A stream of 1.0 begins with a task or is one message. If an agent of 0.3 begins with an update, the task is made
    from the update and precedes it. `has_begun` is also true if the caller has received the task by other means, such
    as `tasks/get`.
    """
    if not isinstance(frame, dict):
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "an event of the agent's stream is not a JSON object")
    if conversion.operation is None:
        return StreamStep(frames=(frame,), has_begun=True, is_last=False)
    if frame.get("error") is not None:
        converted = {**frame, "error": convert_error(frame["error"], conversion.caller)}
        return StreamStep(frames=(converted,), has_begun=True, is_last=True)
    if conversion.caller is Dialect.LEGACY:
        return _downgrade_frame(frame, conversion.operation, has_begun=has_begun)
    return _upgrade_frame(frame, has_begun=has_begun, drops_history=conversion.drops_history)


def _upgrade_frame(frame: JsonObject, *, has_begun: bool, drops_history: bool) -> StreamStep:
    result = frame.get("result")
    event = upgrade_event(result)
    if event is None or not isinstance(result, dict):
        return StreamStep(frames=(), has_begun=has_begun, is_last=False)
    if drops_history:
        event = {name: drop_history(body) if name == "task" else body for name, body in event.items()}
    task = None if has_begun else build_task(event)
    events = (event,) if task is None else ({"task": task}, event)
    return StreamStep(
        frames=tuple({**frame, "result": one} for one in events),
        has_begun=True,
        is_last=result.get("final") is True or "message" in event,
    )


def _downgrade_frame(frame: JsonObject, operation: Operation, *, has_begun: bool) -> StreamStep:
    event = downgrade_event(frame.get("result"), operation=operation)
    if event is None:
        return StreamStep(frames=(), has_begun=has_begun, is_last=False)
    is_last = event["kind"] == "message" or event.get("final") is True
    return StreamStep(frames=({**frame, "result": event},), has_begun=True, is_last=is_last)
