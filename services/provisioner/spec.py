"""Builds the spec of an instance from the desired state."""

from services.provisioner.errors import NoAdapter
from services.provisioner.model import Credentials, DesiredInstance, Environment, Files, Spec


def require_adapter(desired: DesiredInstance, *, image: str = "") -> None:
    """Raise `NoAdapter` if nothing can run the workspace's runtime. Called before credentials are changed.

    `image` is the runtime's own, where the backend uses images.
    """
    if not (desired.adapter_module or desired.command or image):
        raise NoAdapter


def build_spec(
    desired: DesiredInstance, credentials: Credentials, *, environment: Environment, files: Files = (), image: str = ""
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
        image=image,
    )
