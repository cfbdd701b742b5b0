"""The error of a start that failed."""


class StartError(Exception):
    """A step of the start failed. The message is one line for the operator: what failed, and what to do."""
