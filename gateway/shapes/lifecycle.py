"""What is said of instances that do not boot."""

from gateway.bodies import Shape


class BootstrapFailure(Shape):
    """Body of POST /admin/workspaces/{id}/bootstrap-failed."""

    error: str = ""
    log_tail: str = ""
