"""What is said of instances that do not boot."""

from gateway.request_body import RequestModel


class BootstrapFailure(RequestModel):
    """Body of POST /admin/workspaces/{id}/bootstrap-failed."""

    error: str = ""
    log_tail: str = ""
