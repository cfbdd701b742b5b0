"""Reads the options of adapters from the variables of the workspace."""

import shlex
from collections.abc import Mapping

from molecule_agent.adapter import AdapterError


class Options:
    """The variables of a workspace; an empty value counts as unset. Each method may raise AdapterError."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def read_text(self, variable: str, default: str = "") -> str:
        return self._environment.get(variable, "").strip() or default

    def require_text(self, variable: str) -> str:
        if text := self.read_text(variable):
            return text
        raise AdapterError(f"{variable} is required")

    def read_number(self, variable: str, default: int, *, maximum: int) -> int:
        """Return a whole number from 1 to `maximum`."""
        text = self.read_text(variable, str(default))
        if text.isascii() and text.isdigit() and len(text) <= len(str(maximum)) and 1 <= int(text) <= maximum:
            return int(text)
        raise AdapterError(f"{variable} must be a whole number from 1 to {maximum} (got {text!r})")

    def read_choice(self, variable: str, *choices: str) -> str:
        """Return one of the choices; the first is the default."""
        text = self.read_text(variable, choices[0])
        if text in choices:
            return text
        raise AdapterError(f"{variable} must be {' or '.join(choices)} (got {text!r})")

    def read_words(self, variable: str) -> list[str]:
        """Return the words of a command line, quoted as in a shell; nothing is expanded."""
        try:
            return shlex.split(self.read_text(variable))
        except ValueError as error:
            raise AdapterError(f"{variable} is no command line: {error}") from error
