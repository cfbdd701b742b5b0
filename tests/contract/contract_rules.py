"""The rules of the gRPC contracts (HOUSE.md, Contracts), as a function that lists violations in descriptors."""

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from protos.common.v1 import access_pb2
from protos.generate import published

SHARED = ("protos/common/v1/", "google/")
"""Prefixes that every contract may import."""


def list_violations(descriptors: FileDescriptorSet, known: Iterable[str]) -> list[str]:
    """Return a line for every violation; `known` lists everything that was published before."""
    ours = [file for file in descriptors.file if file.package.startswith("molecule.")]
    violations = [violation for file in ours for violation in _check_file(file)]
    now = set(published(descriptors))
    violations += [f"taken back: {line}" for line in known if line not in now]
    violations += [f"not published: {line}" for line in now - set(known)]
    return violations


def _check_file(file: FileDescriptorProto) -> Iterator[str]:
    folder = file.name.rsplit("/", 1)[0]
    if file.package != folder.replace("protos/", "molecule.", 1).replace("/", "."):
        yield f"{file.name}: package {file.package} does not match its folder"
    if len(file.service) > 1:
        yield f"{file.name}: more than one service"
    for dependency in file.dependency:
        if not dependency.startswith((*SHARED, f"{folder}/")):
            yield f"{file.name}: imports {dependency}, another context"
    comments = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}
    for index, _ in enumerate(file.service):
        yield from _check_service(file, index, comments)
    for enum in file.enum_type:
        yield from _check_enum(enum.name, [(value.name, value.number) for value in enum.value])
    for message in file.message_type:
        yield from _check_message(message)


def _check_service(file: FileDescriptorProto, index: int, comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    service = file.service[index]
    if not service.name.endswith("Service"):
        yield f"{service.name}: does not end in Service"
    if not comments.get((6, index)):
        yield f"{service.name}: has no comment"
    for place, rpc in enumerate(service.method):
        name = f"{service.name}/{rpc.name}"
        if not comments.get((6, index, 2, place)):
            yield f"{name}: has no comment"
        if not rpc.options.Extensions[access_pb2.access].allow:
            yield f"{name}: does not say who may call it"
        request, response = rpc.input_type.rsplit(".", 1)[-1], rpc.output_type.rsplit(".", 1)[-1]
        if (request, response) != (f"{rpc.name}Request", f"{rpc.name}Response"):
            yield f"{name}: takes {request} and returns {response}, not its own"
        if rpc.name.startswith("List"):
            yield from _check_paging(name, file, request, response)


def _check_paging(name: str, file: FileDescriptorProto, request: str, response: str) -> Iterator[str]:
    fields = {message.name: {field.name for field in message.field} for message in file.message_type}
    if not {"page_size", "page_token"} <= fields[request] or "next_page_token" not in fields[response]:
        yield f"{name}: lists without pages"


def _check_enum(name: str, values: list[tuple[str, int]]) -> Iterator[str]:
    prefix = "".join(f"_{letter}" if letter.isupper() else letter for letter in name).strip("_").upper()
    if values[0] != (f"{prefix}_UNSPECIFIED", 0):
        yield f"{name}: zero is not {prefix}_UNSPECIFIED"
    for value, _ in values:
        if not value.startswith(f"{prefix}_"):
            yield f"{name}: {value} does not carry its name"


def _check_message(message: DescriptorProto) -> Iterator[str]:
    for field in message.field:
        if field.type_name in {".google.protobuf.Struct", ".google.protobuf.Empty", ".google.protobuf.Value"}:
            yield f"{message.name}.{field.name}: other people's payloads are bytes"
