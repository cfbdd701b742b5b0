"""What the routes of templates take."""

from gateway.request_body import NonEmptyText, RequestModel


class NewTemplate(RequestModel):
    """Body of POST /templates/import: content by path."""

    name: NonEmptyText
    files: dict[str, str]
