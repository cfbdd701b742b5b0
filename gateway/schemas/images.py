"""The result of a refresh of images."""

from typing_extensions import TypedDict


class ImageRefresh(TypedDict):
    """The runtimes whose image was pulled or was not, and the containers that are replaced."""

    pulled: list[str]
    failed: list[str]
    recreated: list[str]
