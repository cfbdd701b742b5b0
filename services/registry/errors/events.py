"""The errors about events."""

from services.chassis import errors


class EventIdGone(errors.FailedPrecondition):
    """Some events after this id were deleted, or the id was never given to an event."""

    domain = "molecule.registry.v1"
    reason = "EVENT_ID_GONE"
    message = "event id no longer available"


class TooManyRelayedEvents(errors.InvalidArgument):
    """Another service sends more events in one call than a call may have."""

    message = "too many events"
