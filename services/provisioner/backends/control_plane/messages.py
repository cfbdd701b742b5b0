"""Converts the bodies of the control plane API to the provisioner's model, and back (docs/control-plane-api.md).

What the other side sends is judged here: a member that is missing or has a wrong type, or an instance of another
workspace, makes the whole body invalid. So a server that speaks something else is never read as one without instances.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from services.chassis import addresses, strict_json
from services.chassis.strict_json import InvalidJson
from services.provisioner.file_rules import encode_content
from services.provisioner.model import (
    Credentials,
    FileContent,
    FileEntry,
    FilePath,
    Instance,
    LogTail,
    Phase,
    Spec,
    WorkspaceId,
)

MAX_ID_LENGTH = 64

MAX_REFERENCE_LENGTH = 200

T = TypeVar("T")


class InvalidMessage(ValueError):
    """The body is not one of this API. The text names the member and contains nothing of the body."""


def parse_object(body: bytes) -> Mapping[str, Any]:
    """Return the object of a body; raises `InvalidMessage`."""
    try:
        found = strict_json.parse(body)
    except InvalidJson as error:
        raise InvalidMessage("not JSON") from error
    return _require(found, dict, "body")


def spec_to_json(spec: Spec) -> dict[str, Any]:
    """Return the body of the request that starts an instance."""
    return {
        "generation": spec.generation,
        "environment": dict(spec.environment),
        "auth_token": spec.credentials.token,
        "inbound_secret": spec.credentials.inbound_secret,
        "command": list(spec.command),
        "files": dict(spec.files),
        "files_digest": spec.files_digest,
        "tier": spec.tier,
        "image": spec.image,
    }


def spec_from_json(workspace_id: WorkspaceId, body: Mapping[str, Any]) -> Spec:
    """Return the spec that a server was asked to start; raises `InvalidMessage`."""
    return Spec(
        workspace_id=workspace_id,
        generation=_read_count(body, "generation"),
        environment=tuple(sorted(_read_texts(body, "environment").items())),
        credentials=Credentials(_read(body, "auth_token", str), _read(body, "inbound_secret", str)),
        command=tuple(_require(part, str, "command") for part in _read(body, "command", list)),
        files=tuple(sorted(_read_texts(body, "files").items())),
        files_digest=_read(body, "files_digest", str),
        tier=_read_count(body, "tier"),
        image=_read(body, "image", str),
    )


def instance_to_json(instance: Instance) -> dict[str, Any]:
    """Return an instance as it stands in answers."""
    return {
        "workspace_id": instance.workspace_id,
        "generation": instance.generation,
        "phase": instance.phase.value,
        "address": instance.address,
        "reference": instance.reference,
        "exit_code": instance.exit_code,
    }


def read_instance(body: Mapping[str, Any], workspace_id: WorkspaceId) -> Instance | None:
    """Return the instance of an answer about one workspace, `None` if there is none; raises `InvalidMessage`."""
    found = _get(body, "instance")
    instance = None if found is None else _instance_from_json(found)
    if instance is not None and instance.workspace_id != workspace_id:
        raise InvalidMessage("instance of another workspace")
    return instance


def read_page(body: Mapping[str, Any]) -> tuple[Sequence[Instance], str | None]:
    """Return the instances of one page, and where the next one begins, if there is one; raises `InvalidMessage`."""
    following = _get(body, "next")
    instances = [_instance_from_json(found) for found in _read(body, "instances", list)]
    return instances, None if following is None else _require(following, str, "next")


def log_to_json(tail: LogTail) -> dict[str, Any]:
    """Return the end of an output as it stands in answers."""
    return {"output": tail.output, "truncated": tail.truncated}


def read_log(body: Mapping[str, Any]) -> LogTail | None:
    """Return the end of an output, `None` if there is none; raises `InvalidMessage`."""
    found = _get(body, "log")
    if found is None:
        return None
    tail = _require(found, dict, "log")
    return LogTail(_read(tail, "output", str), truncated=_read(tail, "truncated", bool))


def entry_to_json(entry: FileEntry) -> dict[str, Any]:
    """Return a file or directory as it stands in answers."""
    return {"path": entry.path, "size": entry.size, "is_directory": entry.is_directory}


def read_entries(body: Mapping[str, Any], limit: int) -> Sequence[FileEntry]:
    """Return the files and directories of an answer, at most `limit`; raises `InvalidMessage`."""
    entries = [_require(found, dict, "entry") for found in _read(body, "entries", list)[:limit]]
    return [
        FileEntry(
            path=_read(entry, "path", str),
            size=_read_count(entry, "size"),
            is_directory=_read(entry, "is_directory", bool),
        )
        for entry in entries
    ]


def content_to_json(content: bytes) -> dict[str, Any]:
    """Return the content of a file as it stands in answers."""
    return {"content": b64encode(content).decode()}


def read_content(body: Mapping[str, Any]) -> bytes:
    """Return the content of a file; raises `InvalidMessage`."""
    return _decode_content(_get(body, "content"))


def files_to_json(files: Mapping[FilePath, FileContent]) -> dict[str, str]:
    """Return files as they stand in the request that writes them."""
    return {"/".join(path): b64encode(encode_content(content)).decode() for path, content in files.items()}


def read_written_files(body: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the contents that a server was asked to write, by path; raises `InvalidMessage`."""
    return {path: _decode_content(content) for path, content in _read_texts(body, "files").items()}


def read_text(body: Mapping[str, Any], name: str) -> str:
    """Return a member that is a text; raises `InvalidMessage`."""
    return _read(body, name, str)


def read_exit(line: bytes) -> WorkspaceId | None:
    """Return the workspace of one line of the stream of exits, `None` for a sign of life; raises `InvalidMessage`."""
    found = parse_object(line).get("workspace_id")
    return None if found is None else WorkspaceId(_require(found, str, "workspace_id")[:MAX_ID_LENGTH])


def read_reason(body: bytes) -> str:
    """Return the reason of a refusal; empty if the body has none."""
    try:
        found = parse_object(body).get("reason")
    except InvalidMessage:
        return ""
    return found if isinstance(found, str) else ""


def _decode_content(found: object) -> bytes:
    try:
        return b64decode(_require(found, str, "content"), validate=True)
    except ValueError as error:
        raise InvalidMessage("content") from error


def _instance_from_json(found: object) -> Instance:
    body = _require(found, dict, "instance")
    exit_code = _get(body, "exit_code")
    phase = _read(body, "phase", str)
    if phase not in set(Phase):
        raise InvalidMessage("phase")
    return Instance(
        workspace_id=WorkspaceId(_read_bounded(body, "workspace_id", MAX_ID_LENGTH)),
        generation=_read_count(body, "generation"),
        phase=Phase(phase),
        address=_read_address(body),
        reference=_read_bounded(body, "reference", MAX_REFERENCE_LENGTH),
        exit_code=None if exit_code is None else _require(exit_code, int, "exit_code"),
    )


def _read_address(body: Mapping[str, Any]) -> str:
    """Return the address at which the agent listens; one that has ended may have none."""
    address = _read(body, "address", str)
    if address and addresses.parse_endpoint(address) is None:
        raise InvalidMessage("address")
    return address


def _read_bounded(body: Mapping[str, Any], name: str, limit: int) -> str:
    text = _read(body, name, str)
    if len(text) > limit or not text.isprintable():
        raise InvalidMessage(name)
    return text


def _read_count(body: Mapping[str, Any], name: str) -> int:
    number = _read(body, name, int)
    if not 0 <= number < 2**63:
        raise InvalidMessage(name)
    return number


def _read_texts(body: Mapping[str, Any], name: str) -> dict[str, str]:
    found = _read(body, name, dict)
    return {key: _require(value, str, name) for key, value in found.items()}


def _read(body: Mapping[str, Any], name: str, kind: type[T]) -> T:
    return _require(_get(body, name), kind, name)


def _get(body: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - judged by the caller
    if name not in body:
        raise InvalidMessage(name)
    return body[name]


def _require(value: object, kind: type[T], name: str) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidMessage(name)
    return value
