"""Judges configs and outcomes, and chooses the headers with which notifications are sent."""

import re
from datetime import timedelta
from http import HTTPStatus

from molecule_a2a.cards import declares_push_notifications
from services.a2a_proxy.json_values import get_list, get_object
from services.a2a_proxy.model import Fault, JsonObject
from services.a2a_proxy.push.model import Verdict
from services.chassis import strict_json

MAX_CONFIG_BYTES = 16 * 1024
"""Bytes of the address and the credentials of one config."""

MAX_ATTEMPTS = 40
"""Attempts to send one notification."""

MAX_AGE = timedelta(hours=24)
"""Time after which a notification is not sent any more."""

RETRIED_STATUSES = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Refusals that may end: a receiver that starts may answer so, or a proxy in front of it."""

FIRST_SERVER_ERROR = 500

TOKEN_HEADER = "x-a2a-notification-token"  # noqa: S105 - the name of a header

TOO_LARGE = f"invalid params: the push notification config has more than {MAX_CONFIG_BYTES} bytes"
INVALID_TOKEN = "invalid params: the push notification token is no text that a header can carry"  # noqa: S105
INVALID_AUTHENTICATION = "invalid params: the push notification authentication is not one that a header can carry"


def find_fault(config: JsonObject, size: int) -> str:
    """Return why a config is refused, as a public text; empty if it is not. `size` is that of its JSON text."""
    if size > MAX_CONFIG_BYTES:
        return TOO_LARGE
    token = config.get("token")
    if token is not None and not (isinstance(token, str) and _is_header_value(token)):
        return INVALID_TOKEN
    scheme, credentials = _read_authentication(config)
    if scheme and not (isinstance(scheme, str) and _SCHEME.fullmatch(scheme)):
        return INVALID_AUTHENTICATION
    if credentials and not (isinstance(credentials, str) and _is_header_value(credentials)):
        return INVALID_AUTHENTICATION
    return ""


def declares_notifications(card: bytes) -> bool:
    """Whether the card of an agent says that it sends push notifications."""
    try:
        return declares_push_notifications(strict_json.parse(card))
    except strict_json.InvalidJson:
        return False


def build_headers(config: JsonObject) -> dict[str, str]:
    """Return the headers of the notifications for a config that has no fault."""
    headers = {"content-type": "application/json"}
    if config.get("token"):
        headers[TOKEN_HEADER] = config["token"]
    scheme, credentials = _read_authentication(config)
    if scheme and credentials:
        headers["authorization"] = f"{scheme} {credentials}"
    return headers


def judge(outcome: int | Fault, *, attempts: int, age: timedelta) -> Verdict:
    """Return what becomes of a notification after so many attempts; `outcome` is a status, or why there is none."""
    if isinstance(outcome, Fault):
        is_final = outcome is Fault.ADDRESS_REFUSED
    elif outcome < HTTPStatus.MULTIPLE_CHOICES:
        return Verdict.DELIVERED
    else:
        is_final = outcome < FIRST_SERVER_ERROR and outcome not in RETRIED_STATUSES
    is_over = is_final or attempts >= MAX_ATTEMPTS or age >= MAX_AGE
    return Verdict.DROPPED if is_over else Verdict.RETRIED


def _read_authentication(config: JsonObject) -> tuple[object, object]:
    """Return the scheme, of several the first, and the credentials."""
    authentication = get_object(config, "authentication")
    schemes = get_list(authentication, "schemes")
    return authentication.get("scheme") or (schemes[0] if schemes else None), authentication.get("credentials")


def _is_header_value(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()


_SCHEME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
