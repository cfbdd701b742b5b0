"""From a wish to what a backend starts."""

from services.provisioner.errors import NoAdapter
from services.provisioner.model import Credentials, Environment, Files, Spec, Wish


def require_adapter(wish: Wish) -> None:
    """Refuse a workspace whose runtime nothing here can run, before its credentials are changed; raises `NoAdapter`."""
    if not wish.adapter_module:
        raise NoAdapter


def build(wish: Wish, credentials: Credentials, *, environment: Environment, files: Files = ()) -> Spec:
    """The spec of the instance that is wished for."""
    return Spec(
        workspace_id=wish.workspace_id,
        generation=wish.generation,
        environment=environment,
        credentials=credentials,
        files=files,
        kit=wish.kit,
    )
