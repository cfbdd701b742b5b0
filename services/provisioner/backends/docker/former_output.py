"""Keeps the end of the output of a container that is replaced, so that a crash loop can be read.

The engine deletes the output together with the container. The text lies in /configs, because only volumes outlive
containers; the agent may change it there, as it may write what it likes to its output.
"""

import structlog

from services.provisioner.backends import log_tail
from services.provisioner.backends.docker import archives, container, logs
from services.provisioner.backends.docker.archives import BLOCK, File
from services.provisioner.backends.docker.engine import Engine, ObjectConflict, ObjectNotFound, RequestRefused
from services.provisioner.backends.docker.names import GENERATION
from services.provisioner.backends.docker.views import ContainerView
from services.provisioner.model import LogTail, WorkspaceId

CONFIGS = "/configs"

FILE = ".molecule-output"
"""Its name begins like those that no caller may name (`file_rules.PLANE_FILE_PREFIXES`)."""

MAX_LINES = 500
"""Lines of former containers that are kept."""

MAX_BYTES = 128 * 1024
"""Bytes of former containers that are kept."""

MAX_ARCHIVE_BYTES = 4 * BLOCK + 4 * MAX_BYTES
"""Bytes that are read of the archive of the file: header, content and end."""

log = structlog.get_logger()


class FormerOutput:
    """The kept output of workspaces. Output that cannot be kept is only logged: it explains, and nothing needs it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def collect(self, workspace_id: WorkspaceId, ended: ContainerView) -> str:
        """Return what is to be kept of a container that is replaced, after what its predecessors left."""
        try:
            tail = await self.read_with_former(ended.id, MAX_LINES)
        except (ObjectNotFound, ObjectConflict, RequestRefused) as error:
            log.warning("output not kept", workspace=workspace_id, error=str(error))
            return ""
        if not tail.output:
            return ""
        text = tail.output[-MAX_BYTES:]
        return f"{text}{'' if text.endswith(chr(10)) else chr(10)}{_describe_end(ended)}\n"

    async def write(self, workspace_id: WorkspaceId, container_id: str, text: str) -> None:
        """Store what was collected in the volume of a container; an empty text changes nothing."""
        if not text:
            return
        packed = archives.pack_files((File(FILE, text),), user_id=container.USER_ID)
        try:
            await self._engine.call(lambda client: client.put_archive(container_id, CONFIGS, packed))
        except (ObjectConflict, RequestRefused) as error:
            log.warning("output not kept", workspace=workspace_id, error=str(error))

    async def read_with_former(self, container_id: str, lines: int) -> LogTail:
        """Return the last lines of a container; if it has fewer, after those that former containers left.

        Raises `ObjectNotFound` without the container.
        """
        tail = await logs.read_tail(self._engine, container_id, lines)
        if tail.truncated or tail.output.count("\n") >= lines:
            return tail
        former = await self._read(container_id)
        if not former:
            return tail
        is_cut = former.count("\n") >= MAX_LINES or len(former) >= MAX_BYTES
        return log_tail.take_last_lines((former + tail.output).encode(), lines, has_more=is_cut)

    async def _read(self, container_id: str) -> str:
        try:
            start = await self._engine.read_archive_start(container_id, f"{CONFIGS}/{FILE}", MAX_ARCHIVE_BYTES)
        except ObjectNotFound:
            return ""
        return archives.read_text(start) or ""


def _describe_end(ended: ContainerView) -> str:
    code = "" if ended.exit_code is None else f" with exit code {ended.exit_code}"
    return f"molecule: instance {ended.labels.get(GENERATION, '')} ended{code}; what follows is of a later one"
