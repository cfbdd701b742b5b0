"""The responses with which the server refuses a request before an application sees it; each ends the connection."""

import json
import re
from dataclasses import dataclass
from http import HTTPStatus

import httptools


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status and the text that tells the caller what to do."""

    status: HTTPStatus
    text: str

    def render(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return the whole response."""
        body = json.dumps({"error": self.text}, separators=(",", ":")).encode()
        headers = [
            *default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        lines = [b"HTTP/1.1 %d %s" % (self.status, self.status.phrase.encode())]
        lines += [name + b": " + value for name, value in headers]
        return b"\r\n".join([*lines, b"", body])


class RefusedRequestError(Exception):
    """Ends the work of the parser inside of one of its callbacks."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, "malformed HTTP request")
INCOMPLETE = Refusal(HTTPStatus.BAD_REQUEST, "the connection ended within the request")
BAD_TARGET = Refusal(HTTPStatus.BAD_REQUEST, "malformed request target")
ONE_HOST = Refusal(HTTPStatus.BAD_REQUEST, "exactly one Host header is required")
UPGRADE_WITH_BODY = Refusal(HTTPStatus.BAD_REQUEST, "a request that asks for an upgrade must have no body")
DATA_AFTER_UPGRADE = Refusal(HTTPStatus.BAD_REQUEST, "nothing may be sent before the upgrade is accepted")
NOT_CHUNKED = Refusal(HTTPStatus.BAD_REQUEST, "a body in a transfer coding must end with chunked")
OLD_TRANSFER_ENCODING = Refusal(HTTPStatus.BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding")
TOO_MUCH_FRAMING = Refusal(HTTPStatus.BAD_REQUEST, "too many chunk extensions")
TIMED_OUT = Refusal(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")
TARGET_TOO_LONG = Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "request target too long")
UNKNOWN_EXPECTATION = Refusal(HTTPStatus.EXPECTATION_FAILED, "only the expectation 100-continue is supported")
FIELDS_TOO_LARGE = Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "header fields too large or too many")
UNKNOWN_METHOD = Refusal(HTTPStatus.NOT_IMPLEMENTED, "unknown method")
UNKNOWN_CODING = Refusal(HTTPStatus.NOT_IMPLEMENTED, "only the transfer coding chunked is supported")
TOO_MANY_CONNECTIONS = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
UNKNOWN_VERSION = Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.1 and HTTP/1.0 are supported")

REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/\d\.\d\r\n")


def explain_parser_error(error: httptools.HttpParserError, data: bytes) -> Refusal:
    """Return the refusal of bytes that the parser does not accept."""
    text = str(error)
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return UNKNOWN_METHOD if REQUEST_LINE.match(data) else MALFORMED
    if "Invalid method" in text:
        return UNKNOWN_METHOD
    return UNKNOWN_VERSION if "HTTP version" in text or "PRI" in text or "HTTP/2" in text else MALFORMED
