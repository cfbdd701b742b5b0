"""Reads the text of a message: from the command line, from a file or from standard input."""

import sys
from pathlib import Path

from molecule_cli.errors import CliError

STANDARD_INPUT = "-"


def read_text(text: str | None, file: Path | None) -> str:
    """Return the text of a message. Raises `CliError` if there is none, or if it is no UTF-8."""
    if file is not None and text is not None:
        message = "give the text or --file, not both"
        raise CliError(message)
    if text is not None and text != STANDARD_INPUT:
        return text
    if file is None and sys.stdin.isatty() and text is None:
        message = "no text: give it in quotes, pipe it in, or name a file with --file"
        raise CliError(message)
    try:
        content = file.read_bytes() if file else sys.stdin.buffer.read()
        read = content.decode()
    except UnicodeDecodeError:
        message = f"{file or 'standard input'} is not UTF-8 text"
        raise CliError(message) from None
    if not read.strip():
        message = f"{file or 'standard input'} is empty: there is nothing to send"
        raise CliError(message)
    return read.removesuffix("\n")
