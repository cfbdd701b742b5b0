"""The refusals about events."""

from services.chassis import errors


class EventIdGone(errors.FailedPrecondition):
    """What came after the event is not kept any more, or the event never was."""

    domain = "molecule.registry.v1"
    reason = "EVENT_ID_GONE"
    message = "event id no longer available"
