"""Carries out one request about files inside a helper container, and writes the answer into a file there.

It runs on the Python of the workspace image, with the modules that `FILE_MODULES` of `files` names and nothing else, so
it imports the standard library and those only.
"""

import base64
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.provisioner.backends import file_tree
from services.provisioner.errors import FileAccessFailed, FileMissing, FileTooLarge, InvalidPath

DIRECTORY = Path("/molecule-files")
"""Where the modules are, and the request and the answer."""

REQUEST = "request.json"

ANSWER = "answer.json"

VOLUME = Path("/files")
"""Where the volume is mounted."""


def answer_request(request: dict[str, Any], volume: Path) -> dict[str, Any]:
    """Return the answer to a request: the entries, the content in base64, or the reason of a refusal."""
    try:
        return _carry_out(request, volume)
    except (FileMissing, FileTooLarge, InvalidPath) as error:
        return {"refusal": error.reason}
    except OSError as error:
        return {"refusal": FileAccessFailed.reason, "text": repr(error)}


def main(directory: Path = DIRECTORY, volume: Path = VOLUME) -> None:
    """Read the request, and write the answer."""
    request = json.loads((directory / REQUEST).read_text(encoding="utf-8"))
    answer = answer_request(request, volume)
    (directory / ANSWER).write_text(json.dumps(answer), encoding="utf-8")


def _carry_out(request: dict[str, Any], volume: Path) -> dict[str, Any]:
    path = tuple(request.get("path", ()))
    match request["operation"]:
        case "list":
            return {"entries": [asdict(entry) for entry in file_tree.list_entries(volume, path, request["depth"])]}
        case "read":
            return {"content": base64.b64encode(file_tree.read(volume, path)).decode()}
        case "write":
            file_tree.write(volume, {tuple(name): base64.b64decode(content) for name, content in request["files"]})
        case "delete":
            file_tree.delete(volume, path)
        case unknown:
            sys.exit(f"unknown operation: {unknown}")
    return {}


if __name__ == "__main__":
    main()
