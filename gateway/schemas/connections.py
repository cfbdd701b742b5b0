"""How an external agent connects to the plane."""

from typing_extensions import TypedDict


class Connection(TypedDict):
    """What the creator of an external workspace hands to its agent. The token is told once."""

    workspace_id: str
    auth_token: str
    platform_url: str
    registry_endpoint: str
    heartbeat_endpoint: str
    curl_register_template: str
    python_snippet: str
    claude_code_channel_snippet: str
