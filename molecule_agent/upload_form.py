"""Parses the form of an upload piece by piece, and stores its files as they arrive."""

from http import HTTPStatus
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from molecule_agent.upload_store import UploadStore

FIELD = "files"
"""The field of the form that has the files; others are ignored."""

MAX_FILE_BYTES = 25 * 1024 * 1024

MAX_FILES = 100

MAX_PARTS = 200
"""Parts of a form, ignored ones included."""


class UploadRefused(Exception):
    """The form is not accepted; `content` is the body of the answer."""

    def __init__(self, status: HTTPStatus, **content: Any) -> None:  # noqa: ANN401 - JSON is anything
        super().__init__(content["error"])
        self.status = status
        self.content = content


class UploadForm:
    """A multipart form that is written as it arrives. Raises `UploadRefused`, and `OSError` of the store."""

    def __init__(self, content_type: str, store: UploadStore) -> None:
        kind, parameters = parse_options_header(content_type)
        boundary = parameters.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise UploadRefused(HTTPStatus.BAD_REQUEST, error="multipart/form-data with a boundary required")
        self._store = store
        self._parts = 0
        self._field_name = b""
        self._field_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._is_storing = False
        self._has_ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_begin": self._begin_header,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_content,
                    "on_part_data": self._add_content,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise _build_malformed() from None

    def write(self, piece: bytes) -> None:
        """Parse the next bytes."""
        try:
            self._parser.write(piece)
        except FormParserError:
            raise _build_malformed() from None

    def finish(self) -> None:
        """Check that the form is whole and has a file."""
        if not self._has_ended:
            raise _build_malformed()
        if not self._store.files:
            raise UploadRefused(HTTPStatus.BAD_REQUEST, error="no files field: attach at least one file as 'files'")

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise UploadRefused(HTTPStatus.BAD_REQUEST, error="too many parts", limit=MAX_PARTS)
        self._headers = {}

    def _begin_header(self) -> None:
        self._field_name = self._field_value = b""

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._field_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._field_value += data[start:end]

    def _end_header(self) -> None:
        self._headers.setdefault(self._field_name.lower(), self._field_value)

    def _begin_content(self) -> None:
        """Begin a file, if the part is one: browsers send a file that was not chosen with an empty name."""
        _, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        file_name = parameters.get(b"filename", b"").decode(errors="replace")
        self._is_storing = parameters.get(b"name") == FIELD.encode() and bool(file_name)
        if not self._is_storing:
            return
        if len(self._store.files) >= MAX_FILES:
            raise UploadRefused(HTTPStatus.BAD_REQUEST, error="too many files", limit=MAX_FILES)
        self._store.begin_file(file_name, self._headers.get(b"content-type", b"").decode("latin-1").strip())

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        if not self._is_storing:
            return
        file = self._store.files[-1]
        if file.size + end - start > MAX_FILE_BYTES:
            raise UploadRefused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                error="file too large",
                filename=file.name,
                max_bytes=MAX_FILE_BYTES,
            )
        self._store.write(data[start:end])

    def _end_part(self) -> None:
        self._store.end_file()
        self._is_storing = False

    def _end(self) -> None:
        self._has_ended = True


def _build_malformed() -> UploadRefused:
    return UploadRefused(HTTPStatus.BAD_REQUEST, error="malformed multipart form")
