"""Starts the `molecule` command. Ctrl-C ends it quietly, also while its modules are imported."""

import sys

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C has ended: 128 and the number of the signal."""


def main() -> None:
    """Import the command and run it."""
    try:
        from molecule_cli.__main__ import main as run_command

        run_command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
