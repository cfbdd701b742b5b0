"""Writes text to the terminal. Texts of agents and clients cannot control it, whatever characters they contain."""

import os
import sys
import unicodedata
from contextvars import ContextVar
from io import TextIOWrapper
from pathlib import Path

import typer

JOINERS = "\u200c\u200d"
"""Invisible characters that are part of words and emoji; they move nothing."""

CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control and format characters (the bidirectional overrides among them), surrogates, line and paragraph separators."""

_IS_QUIET: ContextVar[bool] = ContextVar("is_quiet", default=False)


def set_quiet(quiet: bool) -> None:  # noqa: FBT001 - the flag is what the function sets
    """Choose whether confirmations and progress are left out from now on."""
    _IS_QUIET.set(quiet)


def print_note(text: object, *, to_stderr: bool = False) -> None:
    """Print one line that confirms or reports progress, unless the user asked for quiet."""
    if not _IS_QUIET.get():
        print_line(text, to_stderr=to_stderr)


def is_interactive() -> bool:
    """Whether a person can be asked: both standard input and standard error are terminals."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def is_output_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def escape_controls(text: object, *, keep: str = "") -> str:
    r"""Return the text with control characters written as escapes (`\x1b`), except for the characters of `keep`."""
    return "".join(
        character if character in keep or not _is_control(character) else _escape(character) for character in str(text)
    )


def print_line(text: object = "", *, to_stderr: bool = False) -> None:
    """Print one line; line breaks in the text are shown as escapes."""
    typer.echo(escape_controls(text), err=to_stderr)


def print_text(text: object, *, end: str = "\n") -> None:
    """Print a text of several lines to standard output; line breaks and tabs are kept."""
    typer.echo(escape_controls(text, keep="\n\t") + end, nl=False)


def escape_unencodable_characters() -> None:
    """Have both output streams write an escape for a character that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Send what standard output still buffers nowhere: the interpreter would fail with it again at its end."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in CONTROL_CATEGORIES and character not in JOINERS


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
