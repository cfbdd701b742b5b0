"""Builds the spec of an instance from the desired state."""

from services.provisioner.errors import NoAdapter
from services.provisioner.model import Credentials, DesiredInstance, Environment, Files, Spec


def require_adapter(desired: DesiredInstance) -> None:
    """Raise `NoAdapter` if nothing can run the workspace's runtime. Called before credentials are changed."""
    if not (desired.adapter_module or desired.command):
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
    )
