"""The error of tools."""


class ToolError(Exception):
    """A tool failed; the text says why, for the model or the person that used it."""
