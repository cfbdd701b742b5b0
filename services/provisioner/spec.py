"""Builds the spec of an instance from the desired state."""

from services.provisioner.errors import NoAdapter
from services.provisioner.model import Credentials, DesiredInstance, Environment, Files, Spec


def require_adapter(desired: DesiredInstance, *, uses_images: bool = False) -> None:
    """Raise `NoAdapter` if nothing can run the workspace's runtime. Called before credentials are changed.

    With `uses_images` the backend runs images, and that of the runtime may hold the agent.
    """
    if not (desired.adapter_module or desired.command or (uses_images and desired.image)):
        raise NoAdapter


def build_spec(
    desired: DesiredInstance, credentials: Credentials, *, environment: Environment, files: Files = ()
) -> Spec:
    """Return the spec of the desired instance."""
    return Spec(
        workspace_id=desired.workspace_id,
        generation=desired.generation,
        environment=environment,
        credentials=credentials,
        command=desired.command,
        files=files,
        files_digest=desired.files_digest,
        tier=desired.tier,
        image=desired.image,
    )
