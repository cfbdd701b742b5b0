"""Reads streams of server-sent events, as the HTML standard defines them. Pure."""

import codecs
import re
from collections.abc import Iterable, Iterator

MAX_EVENT_CHARS = 32 * 1024 * 1024
"""Characters of the longest event; the plane forwards messages of 10 MiB."""

LINE_END = re.compile(r"\r\n|\r|\n")
"""Nothing else ends a line; `str.splitlines` splits at U+2028 and others too, which are valid in data."""


def read_events(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the data of each event as soon as the empty line after it has arrived; an event that is cut off is ignored.

    Comments and other fields are ignored. Raises `ValueError` for an event above the limit.
    """
    data: list[str] = []
    size = 0
    for line in _read_lines(chunks):
        name, _, value = line.partition(":")
        if not line:
            if text := "\n".join(data):
                yield text
            data, size = [], 0
        elif name == "data":
            data.append(value.removeprefix(" "))
            size += len(value) + 1
            _check_size(size)


def _read_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield each line without its end, when its end has arrived."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    pending: list[str] = []
    pending_size, follows_return = 0, False
    for chunk in chunks:
        text = decoder.decode(chunk)
        if not text:
            continue
        if follows_return:
            text = text.removeprefix("\n")
        follows_return = text.endswith("\r") if text else False
        first, *lines = LINE_END.split(text)
        pending.append(first)
        pending_size += len(first)
        for line in lines:
            yield "".join(pending)
            pending, pending_size = [line], len(line)
        _check_size(pending_size)


def _check_size(size: int) -> None:
    if size > MAX_EVENT_CHARS:
        message = f"an event has more than {MAX_EVENT_CHARS} characters"
        raise ValueError(message)
