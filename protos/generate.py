"""Compiles the contracts: `python -m protos.generate`, with `--check` to see whether that would change anything."""

import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
"""The repository: contracts are compiled with this as their root, so their imports need no rewriting."""

CONTRACT = ROOT / "protos" / "contract.txt"
"""Everything ever published, one a line."""

GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def main(arguments: list[str]) -> int:
    """Compile, or check; the exit code says whether the tree is as it should be."""
    checking = arguments == ["--check"]
    if arguments and not checking:
        print("usage: python -m protos.generate [--check]", file=sys.stderr)  # noqa: T201 - a command talks to people
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        made = _compiled(Path(scratch))
        stale = sorted(name for name, text in made.items() if _present(name) != text)
        gone = sorted(name for name in _generated_now() if name not in made)
    if not checking:
        for name in stale:
            (ROOT / name).write_text(made[name])
        for name in gone:
            (ROOT / name).unlink()
        return 0
    for name in stale + gone:
        print(f"{name} is not what its contract says; run `make protos`", file=sys.stderr)  # noqa: T201
    return 1 if stale or gone else 0


def published(descriptors: descriptor_pb2.FileDescriptorSet) -> list[str]:
    """Every rpc, field and value of our own packages, as the lines of `contract.txt`."""
    lines: list[str] = []
    for file in descriptors.file:
        if not file.package.startswith("molecule."):
            continue
        for service in file.service:
            lines += [
                f"rpc {file.package}.{service.name}/{rpc.name}{_arrow(rpc)}{rpc.output_type.rsplit('.', 1)[-1]}"
                for rpc in service.method
            ]
        for enum in file.enum_type:
            lines += [f"value {file.package}.{enum.name}.{value.number} {value.name}" for value in enum.value]
        for message in file.message_type:
            lines += _fields(f"{file.package}.{message.name}", message)
    return lines


def descriptors() -> descriptor_pb2.FileDescriptorSet:
    """The contracts as compiled now, comments included."""
    with tempfile.TemporaryDirectory() as scratch:
        return _descriptors(Path(scratch))


def _compiled(scratch: Path) -> dict[str, str]:
    """Every generated file by its path in the repository, and the contract."""
    _protoc(
        f"--python_out={scratch}",
        f"--mypy_out=quiet,readable_stubs:{scratch}",
        f"--grpc_python_out={scratch}",
        f"--mypy_grpc_out=quiet,readable_stubs,only_async:{scratch}",
    )
    made = {
        str(path.relative_to(scratch)): path.read_text()
        for path in scratch.rglob("*_pb2*")
        if "_grpc" not in path.name or "class " in path.read_text()
    }
    known = CONTRACT.read_text().splitlines() if CONTRACT.exists() else []
    now = published(_descriptors(scratch))
    lines = known + [line for line in now if line not in set(known)]
    made[str(CONTRACT.relative_to(ROOT))] = "\n".join(lines) + "\n"
    return made


def _descriptors(scratch: Path) -> descriptor_pb2.FileDescriptorSet:
    target = scratch / "contract.binpb"
    _protoc(f"--descriptor_set_out={target}", "--include_source_info")
    return descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())


def _protoc(*options: str) -> None:
    well_known = resources.files("grpc_tools") / "_proto"
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos").rglob("*.proto"))
    plugins = [f"--plugin={path}" for path in Path(sys.executable).parent.glob("protoc-gen-*") if path.suffix != ".exe"]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *plugins, *options, *sources]):
        raise SystemExit(1)


def _fields(name: str, message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
    for field in message.field:
        kind = field.type_name.rsplit(".", 1)[-1] or _scalar(field)
        repeated = "repeated " if field.label == descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED else ""
        yield f"field {name}.{field.number} {repeated}{kind} {field.name}"
    for nested in message.nested_type:
        if not nested.options.map_entry:
            yield from _fields(f"{name}.{nested.name}", nested)


def _scalar(field: descriptor_pb2.FieldDescriptorProto) -> str:
    return descriptor_pb2.FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _arrow(rpc: descriptor_pb2.MethodDescriptorProto) -> str:
    return f" {'=' if rpc.client_streaming else '-'}{'=' if rpc.server_streaming else '-'}> "


def _present(name: str) -> str | None:
    path = ROOT / name
    return path.read_text() if path.exists() else None


def _generated_now() -> Iterator[str]:
    for path in (ROOT / "protos").rglob("*"):
        if path.name.endswith(GENERATED):
            yield str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
