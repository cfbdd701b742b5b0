"""Converts the events of a JSON-RPC stream of 1.0 into events of the binding, one at a time."""

from dataclasses import dataclass

from molecule_a2a.error_objects import build_error
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, ConversionFailed
from molecule_a2a.model import AnswerConversion, Dialect, JsonObject
from molecule_a2a.rest.error_bodies import render_error
from molecule_a2a.rest.model import ERROR_EVENT, RestEvent, Target
from molecule_a2a.rest.proto_results import render_result
from molecule_a2a.rest.statuses import INTERNAL_ERROR
from molecule_a2a.streams import convert_frame
from molecule_a2a.timestamps import upgrade_result_times

INTERRUPTION = {"code": INTERNAL_ERROR, "message": "upstream stream interrupted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStep:
    """What one event of an agent becomes."""

    events: tuple[RestEvent, ...]
    """None for an event that the client cannot read."""
    is_last: bool
    """Whether the stream to the client ends after these events."""


def render_frame(frame: object, target: Target) -> EventStep:
    """Return what the data of an event becomes. An error, and data that is no JSON-RPC response, end the stream."""
    try:
        return _render_frame(frame, target)
    except ConversionFailed as failure:
        return EventStep(
            events=(render_error_event(build_error(failure, Dialect.CURRENT), target.dialect),), is_last=True
        )


def render_error_event(error: JsonObject, dialect: Dialect) -> RestEvent:
    """Return the event that reports a JSON-RPC error within a stream."""
    return RestEvent(render_error(error, dialect).body, ERROR_EVENT)


def _render_frame(frame: object, target: Target) -> EventStep:
    if not isinstance(frame, dict):
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "an event of the agent's stream is not a JSON object")
    if isinstance(frame.get("error"), dict):
        return EventStep(events=(render_error_event(frame["error"], target.dialect),), is_last=True)
    if not isinstance(frame.get("result"), dict):
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "an event of the agent's stream is no JSON-RPC response")
    frame = {**frame, "result": upgrade_result_times(frame["result"])}
    if target.dialect is Dialect.CURRENT:
        return EventStep(events=(RestEvent(frame["result"]),), is_last=False)
    conversion = AnswerConversion(operation=target.operation, caller=Dialect.LEGACY)
    step = convert_frame(frame, conversion, has_begun=True)
    events = tuple(RestEvent(render_result(one["result"], target.operation)) for one in step.frames)
    return EventStep(events=events, is_last=step.is_last)
