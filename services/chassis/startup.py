"""What every process does when it starts: it opens missing descriptors, warns of misspelt settings, chooses signals."""

import os
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, Signals, getsignal

import structlog
from pydantic_settings import BaseSettings

from services.chassis import settings

log = structlog.get_logger()


def warn_of_misspelt_settings(kind: type[BaseSettings]) -> None:
    """Log each variable of this process that is no setting, but similar to one."""
    for line in settings.find_misspelt_settings(settings.read_environment(), kind):
        log.warning(line)


def list_stop_signals() -> tuple[Signals, ...]:
    """Return the signals that stop a process in order. A SIGHUP that `nohup` ignores stays ignored."""
    return (SIGTERM, SIGINT) if getsignal(SIGHUP) is SIG_IGN else (SIGTERM, SIGINT, SIGHUP)


def open_missing_descriptors() -> None:
    """Open the standard descriptors that the caller closed: libuv aborts if a socket gets one of their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
