"""The plugins of workspaces."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from gateway.schemas.request_model import RequestModel
from protos.provisioner.v1 import plugins_pb2 as pb


class PluginInstallation(RequestModel):
    """Body of POST /workspaces/{id}/plugins."""

    source: str
    sha256: str = ""


class PluginSchemes(TypedDict):
    """The schemes of the sources of plugins."""

    schemes: list[str]


class PluginItem(TypedDict):
    """An installed plugin. `supported_on_runtime` is there if the plugin names its runtimes."""

    name: str
    version: str
    description: str
    author: str
    tags: list[str]
    skills: list[str]
    runtimes: list[str]
    supported_on_runtime: NotRequired[bool]


class InstalledPlugin(TypedDict):
    """Answer of an installation. `sha256` is the digest of the plugin's files."""

    plugin: str
    source: str
    status: Literal["installed"]
    sha256: str


class UninstalledPlugin(TypedDict):
    """Answer of a removal."""

    plugin: str
    status: Literal["uninstalled"]


def render_plugin(message: pb.Plugin) -> PluginItem:
    """Return a plugin."""
    item = PluginItem(
        name=message.name,
        version=message.version,
        description=message.description,
        author=message.author,
        tags=list(message.tags),
        skills=list(message.skills),
        runtimes=list(message.runtimes),
    )
    if message.HasField("is_supported_on_runtime"):
        item["supported_on_runtime"] = message.is_supported_on_runtime
    return item
