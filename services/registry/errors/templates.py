"""Errors about templates. Their texts are specified in docs/spec/rest.md."""

from services.chassis import errors


class _TemplateError:
    domain = "molecule.registry.v1"


class InvalidTemplate(_TemplateError, errors.InvalidArgument):
    """The template does not exist or cannot be read. `detail` says what is wrong with it."""

    reason = "INVALID_TEMPLATE"
    message = "invalid template"

    def __init__(self, detail: str = "") -> None:
        super().__init__(details={"detail": detail} if detail else None)


class TooManyFiles(_TemplateError, errors.InvalidArgument):
    reason = "TOO_MANY_FILES"

    def __init__(self, count: int, most: int) -> None:
        super().__init__(f"too many files ({count}), max {most}")


class FilesTooLarge(_TemplateError, errors.InvalidArgument):
    reason = "FILES_TOO_LARGE"
    message = "request body too large"

    def __init__(self, most: int) -> None:
        super().__init__(details={"max_bytes": most})


class InvalidPath(_TemplateError, errors.InvalidArgument):
    reason = "INVALID_PATH"
    message = "invalid path"


class TemplateExists(_TemplateError, errors.AlreadyExists):
    reason = "TEMPLATE_EXISTS"
    message = "template already exists"

    def __init__(self, template_id: str) -> None:
        super().__init__(details={"id": template_id})
