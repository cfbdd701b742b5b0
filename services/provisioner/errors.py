"""What can go wrong with an instance. Each message is a fixed text of the public contract, never a backend's own."""

from services.chassis.errors import Refused, Unavailable

DOMAIN = "molecule.provisioner.v1"
"""The domain of these reasons."""


class NoBackend(Refused):
    """This plane starts no instances."""

    domain = DOMAIN
    reason = "NO_BACKEND"
    message = "provisioning backend not available"


class NoAdapter(Refused):
    """The backend has nothing that could run this runtime."""

    domain = DOMAIN
    reason = "NO_ADAPTER"
    message = "no image for runtime"


class StartFailed(Refused):
    """The backend refused to start the instance. Starting it again would change nothing."""

    domain = DOMAIN
    reason = "START_FAILED"
    message = "provisioning failed"


class StopFailed(Refused):
    """The instance did not end when it was told to."""

    domain = DOMAIN
    reason = "STOP_FAILED"
    message = "the instance did not end"


class BackendUnavailable(Unavailable):
    """The backend cannot be asked now, which says nothing about its instances."""

    domain = DOMAIN
    reason = "BACKEND_UNAVAILABLE"
    message = "the backend cannot be reached"
