"""Rules of chat files: paths, addresses, and what an agent's answer means (docs/spec/rest.md, 6.13)."""

import posixpath
import re
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from services.a2a_proxy import outcome
from services.a2a_proxy.errors import (
    AddressRefused,
    FileMissing,
    InboundSecretRefused,
    InvalidFilePath,
    TargetUnavailable,
    TargetWaking,
    WorkspaceNotFound,
    WorkspaceRemoved,
    WorkspaceUnreachable,
)
from services.a2a_proxy.model import (
    Answer,
    DispatchFailure,
    Fault,
    Push,
    Route,
    Status,
    Stream,
    WorkspaceId,
)
from services.a2a_proxy.routing import ABSENCES, hibernates
from services.chassis.errors import PermissionDenied, ServiceError


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision: there is no agent to ask."""

    error: ServiceError


UPLOAD_PATH = "/internal/chat/uploads/ingest"
DOWNLOAD_PATH = "/internal/file/read"

ROOTS = ("/configs", "/workspace", "/home", "/plugins")
"""The directories of a workspace whose files clients may read."""

MAX_PATH_BYTES = 4096

MAX_CONTENT_LENGTH = 2**63 - 1

MAX_TRANSFERS_PER_WORKSPACE = 16
"""Uploads and downloads that a workspace may have at once. A client that does not read costs memory."""

UPLOAD_HEADERS = ("content-type", "content-encoding")
DOWNLOAD_HEADERS = (*UPLOAD_HEADERS, "content-length", "content-disposition")
"""The headers of an agent's answer that are judged here."""

DEFAULT_CONTENT_TYPE = "application/octet-stream"

SAFE_DISPOSITION = re.compile(
    r"""attachment(; ?filename="(\\["\\]|[^"\\])*")?(; ?filename\*=UTF-8''[A-Za-z0-9!#$&+.^_`|~%-]*)?"""
)
"""A Content-Disposition that is passed on as the agent wrote it."""


class Operation(StrEnum):
    """What a client does with files; named in errors and logs."""

    UPLOAD = "upload"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload but for its body. `content_length` is `None` if the client did not announce it."""

    workspace_id: WorkspaceId
    content_type: str = ""
    content_length: int | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRequest:
    """The file that a client wants to download."""

    workspace_id: WorkspaceId
    path: str
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHead:
    """What a client learns of a file before its bytes. `content_length` is `None` if the agent did not send it."""

    content_type: str
    disposition: str
    content_length: int | None


def check_caller(caller: WorkspaceId | None, target: WorkspaceId) -> None:
    """Raise `PermissionDenied` if a workspace uploads to another one: agents exchange no files (ACT-20)."""
    if caller is not None and caller != target:
        raise PermissionDenied


def check_path(path: str) -> None:
    """Raise `InvalidFilePath` unless the path is absolute, canonical and below one of the roots.

    Files of /configs with a part of their path that begins with a dot are refused: they hold credentials of the agent.
    """
    if not path:
        raise InvalidFilePath("path query required")
    if not path.startswith("/"):
        raise InvalidFilePath("path must be absolute")
    if not any(path == root or path.startswith(f"{root}/") for root in ROOTS):
        raise InvalidFilePath("path must be under /configs, /workspace, /home, or /plugins")
    is_canonical = posixpath.normpath(path) == path and path not in ROOTS
    has_controls = any(ord(character) < ord(" ") or character == "\x7f" for character in path)
    if not is_canonical or has_controls or len(path.encode(errors="replace")) > MAX_PATH_BYTES:
        raise InvalidFilePath
    if path.startswith("/configs/") and "/." in path:
        raise InvalidFilePath


def check_route(route: Route | None) -> Route:
    """Return the route to a workspace that exists; raises the error for any other."""
    if route is None:
        raise WorkspaceNotFound
    if route.status is Status.REMOVED:
        raise WorkspaceRemoved
    return route


def decide(route: Route) -> Push | Refusal:
    """Decide whether there is an agent to ask. The address of one that does not run may lead to another program."""
    if hibernates(route):
        return Refusal(TargetWaking())
    is_away = route.status in ABSENCES or (route.status is Status.OFFLINE and not route.external)
    if is_away or not route.address:
        return Refusal(TargetUnavailable("workspace has no URL", details={"status": str(route.status)}))
    return Push(route.address, route.trusted)


def build_url(address: str, path: str, *, file: str = "") -> str:
    """Return the URL of an endpoint below an agent's address, whose own query does not count."""
    parts = urlsplit(address)
    query = f"path={quote(file)}" if file else ""
    return parts._replace(path=parts.path.rstrip("/") + path, query=query, fragment="").geturl()


def judge_upload(result: Answer | Stream | DispatchFailure) -> Answer:
    """Return the answer for the client; raises the error for a result that is none."""
    if not isinstance(result, Answer):
        raise _build_error(result)
    is_json = "json" in result.headers.get("content-type", "")
    if result.status < HTTPStatus.MULTIPLE_CHOICES and is_json and not _is_encoded(result):
        return result
    if result.status < HTTPStatus.BAD_REQUEST or outcome.is_upstream_dead(result.status) or _is_encoded(result):
        raise WorkspaceUnreachable
    if outcome.is_unauthorized(result):
        raise InboundSecretRefused
    return outcome.hide_foreign_body(result)


def judge_download(result: Answer | Stream | DispatchFailure) -> Stream:
    """Return the stream of a file; raises the error for any other result."""
    match result:
        case Stream(status=HTTPStatus.OK) if not _is_encoded(result):
            return result
        case Answer(status=HTTPStatus.NOT_FOUND):
            raise FileMissing
        case Answer(status=HTTPStatus.BAD_REQUEST):
            raise InvalidFilePath
        case Answer(status=HTTPStatus.UNAUTHORIZED):
            raise InboundSecretRefused
        case _:
            raise _build_error(result)


def describe_file(headers: dict[str, str], path: str) -> FileHead:
    """Return what a client learns of a file, from the headers of the agent."""
    length = headers.get("content-length", "")
    told = headers.get("content-disposition", "")
    return FileHead(
        content_type=headers.get("content-type") or DEFAULT_CONTENT_TYPE,
        disposition=told if SAFE_DISPOSITION.fullmatch(told) else build_disposition(posixpath.basename(path)),
        content_length=int(length) if _is_length(length) else None,
    )


def build_disposition(name: str) -> str:
    """Return the Content-Disposition of an attachment (RFC 6266): the name in ASCII, and encoded if it has more."""
    plain = "".join(character if " " <= character <= "~" and character not in '"\\%' else "_" for character in name)
    disposition = f'attachment; filename="{plain}"'
    return disposition if plain == name else f"{disposition}; filename*=UTF-8''{quote(name, safe='')}"


def _is_length(text: str) -> bool:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_CONTENT_LENGTH))
    return is_number and int(text) <= MAX_CONTENT_LENGTH


def _is_encoded(result: Answer | Stream) -> bool:
    """Whether the body is compressed, which the plane did not ask for."""
    return result.headers.get("content-encoding", "identity").strip().lower() != "identity"


def _build_error(result: Answer | Stream | DispatchFailure) -> ServiceError:
    if isinstance(result, DispatchFailure) and result.fault is Fault.ADDRESS_REFUSED:
        return AddressRefused()
    return WorkspaceUnreachable()
