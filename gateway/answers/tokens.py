"""What people are answered about tokens and sessions."""

from typing import NotRequired

from typing_extensions import TypedDict

from gateway.render.tokens import OrgToken, Token


class Tokens(TypedDict):
    """The tokens of a workspace."""

    count: int
    tokens: list[Token]


class OrgTokens(TypedDict):
    """The tokens of organisations."""

    count: int
    tokens: list[OrgToken]


class Minted(TypedDict):
    """A token of a workspace, told once."""

    id: str
    auth_token: str
    workspace_id: str
    expires_at: NotRequired[str]
    previous_expires_at: NotRequired[str]
    message: str


class OrgMinted(TypedDict):
    """A token of an organisation, told once."""

    id: str
    prefix: str
    org_id: str
    scopes: list[str]
    name: NotRequired[str]
    expires_at: NotRequired[str]
    previous_expires_at: NotRequired[str]
    auth_token: str
    warning: str


class TestToken(TypedDict):
    """A token for whoever tests a workspace."""

    auth_token: str
    workspace_id: str
    expires_at: str


class Ended(TypedDict):
    """A token or a session that is no more."""

    status: str


class Revoked(TypedDict):
    """The id of an organisation token that is no more."""

    revoked: str


class Who(TypedDict):
    """Who the caller is, and the session they came with."""

    kind: str
    org_id: NotRequired[str]
    scopes: NotRequired[list[str]]
    workspace_id: NotRequired[str]
    csrf_token: NotRequired[str]
    expires_at: NotRequired[str]
