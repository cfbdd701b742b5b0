"""Runs one agent that the environment configures: `python -m molecule_agent`."""

import asyncio
import logging
import sys

from molecule_agent.adapter import AdapterError
from molecule_agent.app import ListenError, run
from molecule_agent.inbox.journal import JournalError
from molecule_agent.settings import Settings, SettingsError


def main() -> int:
    """Run the agent until it stops; return the exit status."""
    try:
        run_agent_process(Settings.from_environment())
    except (SettingsError, AdapterError, ListenError, JournalError) as error:
        sys.stderr.write(f"molecule_agent: {error}\n")
        return 1
    return 0


def run_agent_process(settings: Settings) -> None:
    """Run an agent as this process until it stops, with its log on stdout.

    Raises AdapterError, ListenError and JournalError.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for library in ("uvicorn", "httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.WARNING)
    asyncio.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
