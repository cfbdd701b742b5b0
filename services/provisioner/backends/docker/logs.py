"""Reads the end of a container's output."""

from docker import APIClient

from services.provisioner.backends import log_tail
from services.provisioner.backends.docker.engine import Engine
from services.provisioner.model import LogTail

ENTRY_BYTES = 16 * 1024
"""The engine splits longer lines into entries of this size."""

EXTRA_ENTRIES = log_tail.MAX_TAIL_BYTES // ENTRY_BYTES + 1
"""Entries that are read beyond the lines that were asked for, because the last lines may be long."""


async def read_tail(engine: Engine, container_id: str, lines: int) -> LogTail:
    """Return the last lines of a container's output; raises `ObjectNotFound` without the container."""
    output, has_more = await engine.call(lambda client: _read(client, container_id, lines + EXTRA_ENTRIES))
    return log_tail.take_last_lines(output, lines, has_more=has_more)


def _read(client: APIClient, container_id: str, entries: int) -> tuple[bytes, bool]:
    """Return the end of the output, at most `MAX_TAIL_BYTES`, and whether there is more before it. Blocks."""
    output, count, is_cut = bytearray(), 0, False
    for entry in client.logs(container_id, stdout=True, stderr=True, stream=True, follow=False, tail=entries):
        output += entry
        count += 1
        if len(output) > 2 * log_tail.MAX_TAIL_BYTES:
            del output[: -log_tail.MAX_TAIL_BYTES]
            is_cut = True
    is_cut = is_cut or len(output) > log_tail.MAX_TAIL_BYTES
    return bytes(output[-log_tail.MAX_TAIL_BYTES :]), is_cut or count >= entries
