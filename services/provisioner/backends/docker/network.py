"""Makes the network of the containers and finds its address on the engine's host."""

import contextlib

from docker import APIClient

from services.provisioner.backends.docker.engine import Engine, ObjectConflict, ObjectNotFound
from services.provisioner.backends.docker.names import MANAGED


async def ensure_network(engine: Engine, name: str) -> str:
    """Create the bridge network unless it exists; return its gateway, the host's own address there, empty if none.

    Two planes on one engine may share the network, so nothing removes it.
    """
    with contextlib.suppress(ObjectNotFound):
        return await _find_gateway(engine, name)
    with contextlib.suppress(ObjectConflict):  # another plane creates it at the same moment
        await engine.call(
            lambda client: client.create_network(name, driver="bridge", check_duplicate=True, labels={MANAGED: "true"})
        )
    return await _find_gateway(engine, name)


async def _find_gateway(engine: Engine, name: str) -> str:
    def inspect(client: APIClient) -> str:
        configs = (client.inspect_network(name).get("IPAM") or {}).get("Config") or []
        return next((str(config["Gateway"]) for config in configs if config.get("Gateway")), "")

    return await engine.call(inspect)
