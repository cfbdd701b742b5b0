"""From a wish to what a backend starts."""

from services.provisioner.errors import NoAdapter
from services.provisioner.model import Credentials, Files, Spec, Wish


def require_adapter(wish: Wish) -> None:
    """Refuse a workspace whose runtime nothing here can run, before its credentials are changed; raises `NoAdapter`."""
    if not wish.adapter_module:
        raise NoAdapter


def build(wish: Wish, credentials: Credentials, *, platform_url: str, files: Files = ()) -> Spec:
    """The spec of the instance that is wished for.

    A variable that would be empty is not set: an agent may tell "no parent" from "a parent without a name".
    """
    environment = {
        "WORKSPACE_ID": wish.workspace_id,
        "PLATFORM_URL": platform_url,
        "ADAPTER_MODULE": wish.adapter_module,
        "PARENT_ID": wish.parent_id,
        "MODEL": wish.model,
    }
    return Spec(
        workspace_id=wish.workspace_id,
        generation=wish.generation,
        environment=tuple((name, value) for name, value in environment.items() if value),
        credentials=credentials,
        files=files,
    )
