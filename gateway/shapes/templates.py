"""What the routes of templates take."""

from gateway.bodies import Name, Shape


class NewTemplate(Shape):
    """Body of POST /templates/import: content by path."""

    name: Name
    files: dict[str, str]
