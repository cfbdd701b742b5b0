"""Why the plane cannot start, in one line for the operator."""


class StartError(Exception):
    """A step of the start failed; the message says what and what to do, in one line."""
