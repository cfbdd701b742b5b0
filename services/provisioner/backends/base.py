"""The protocol that every backend implements.

`tests/provisioner/backend_suite.py` checks this contract; a backend is complete when the suite passes.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from services.provisioner.control_plane_options import ControlPlaneOptions
from services.provisioner.docker_options import DockerOptions
from services.provisioner.model import FileContent, FileEntry, FilePath, FileRoot, Instance, LogTail, Spec, WorkspaceId


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """The configuration of a backend: the plane's directory, and the command of an agent (empty for the default).

    `docker` and `control_plane` have the options of these backends; the others ignore them.
    """

    home: Path
    command: tuple[str, ...] = ()
    docker: DockerOptions = field(default_factory=DockerOptions)
    control_plane: ControlPlaneOptions = field(default_factory=ControlPlaneOptions)


@runtime_checkable
class ImageHost(Protocol):
    """What a backend that runs images offers besides `Backend`."""

    @property
    def default_image(self) -> str:
        """The image of runtimes that name none."""
        ...

    async def pull_image(self, image: str) -> None:
        """Pull an image, also one that the backend has; raises `ImageMissing` or `BackendUnavailable`."""
        ...

    async def find_running(self, images: Collection[str]) -> Mapping[WorkspaceId, str]:
        """Return the workspaces that run on one of these images, with the names of their instances.

        An instance belongs to the image by whose name it was made, also if that name means another image by now.
        Raises `BackendUnavailable`.
        """
        ...


class Backend(Protocol):
    """Runs instances, at most one for each workspace.

    The backend itself stores all state: every method may be the first call after a restart of the provisioner, and
    every method may be repeated after it failed or was cancelled.

    Errors are `StartFailed`, `ImageMissing`, `StopFailed` and `NoBackend`; a backend that cannot be reached raises
    `BackendUnavailable`.
    """

    @property
    def name(self) -> str:
        """The name of the backend in the registry."""
        ...

    @property
    def starts_instances(self) -> bool:
        """Whether the backend ever starts an instance. If not, it lists none, and `start` raises `NoBackend`."""
        ...

    async def start(self, spec: Spec) -> Instance:
        """Start the instance of `spec.generation` with `spec.credentials`.

        Returns once the backend has accepted the instance; its agent may still be booting. If this instance already
        runs, it is returned unchanged and receives the new credentials. An instance of another generation is replaced,
        and so is one that ended or was started only in part.

        `spec.files` are written below /configs if it has no config.yaml. Existing files are kept, so changes by the
        agent survive a restart. If the last files written had another digest than `spec.files_digest`, the files
        overwrite existing ones. A path outside /configs raises `StartFailed`, and nothing is started.
        """
        ...

    async def stop(self, workspace_id: WorkspaceId) -> None:
        """Stop the instance of the workspace, and keep its files.

        Returns when no instance runs; until `forget` it is listed as exited. Without an instance, nothing happens.
        """
        ...

    async def discard(self, workspace_id: WorkspaceId) -> None:
        """Stop the instance of the workspace and remove it, but keep its files. Without an instance, nothing happens.

        A backend in which an ended instance holds nothing but files only stops it.
        """
        ...

    async def forget(self, workspace_id: WorkspaceId) -> None:
        """Delete the files of a stopped workspace. Without any, nothing happens."""
        ...

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        """Return the current state of the instance; `None` if there is none. Raises if the backend cannot tell."""
        ...

    async def list(self) -> Sequence[Instance]:
        """Return every instance that this plane started and has not forgotten."""
        ...

    async def read_logs(self, workspace_id: WorkspaceId, lines: int) -> LogTail | None:
        """Return the last lines that instances of the workspace wrote, also replaced ones; at most half a MiB.

        `None` if the backend keeps no output, or the workspace never had an instance. Bytes that are not UTF-8 are
        replaced.
        """
        ...

    async def list_files(
        self, workspace_id: WorkspaceId, root: FileRoot, directory: FilePath, depth: int
    ) -> Sequence[FileEntry]:
        """Return the files and directories up to `depth` levels below a directory of the workspace, by path.

        What is neither is left out, and so are names that `file_rules` does not allow; there are at most MAX_ENTRIES.
        The instance need not run. Raises `FileMissing`, or `NoFiles` if the workspace never had an instance.
        """
        ...

    async def read_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> bytes:
        """Return a regular file; links are not followed. Raises `FileMissing`, `FileTooLarge` or `NoFiles`."""
        ...

    async def write_files(
        self, workspace_id: WorkspaceId, root: FileRoot, files: Mapping[FilePath, FileContent]
    ) -> None:
        """Write files, each completely or not at all, and the directories above them; other files stay.

        A link with the name of a file is replaced. Raises `InvalidPath` where a name above a file is no directory, or
        the file is one; `FileAccessFailed` if a file cannot be written; and `NoFiles`.
        """
        ...

    async def delete_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> None:
        """Delete a file, a link or an empty directory; raises `FileMissing`, `FileAccessFailed` or `NoFiles`.

        A directory that is not empty counts as missing.
        """
        ...

    def watch_exits(self) -> AsyncGenerator[WorkspaceId, None]:
        """Yield the workspace of each instance that ended, also of instances that were started earlier.

        An exit may be missed; `list` then shows it. One iterator may be open at a time.
        """
        ...

    async def close(self) -> None:
        """Close the connections of the backend. Instances keep running."""
        ...
