"""The end of what an instance has written."""

from services.provisioner.model import Log

LIMIT = 512 * 1024
"""Bytes that are told at most, whatever a line is long: three times as many still fit into one message."""


def last(written: bytes, lines: int, *, cut: bool) -> Log:
    """The last lines of `written`; `cut` where something was written before that."""
    start = len(written) - written.endswith(b"\n")
    for _ in range(lines):
        start = written.rfind(b"\n", 0, start)
        if start < 0:
            return _of(written, truncated=cut)
    return _of(written[start + 1 :], truncated=True)


def _of(written: bytes, *, truncated: bool) -> Log:
    return Log(written[-LIMIT:].decode(errors="replace"), truncated=truncated or len(written) > LIMIT)
