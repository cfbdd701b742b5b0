"""Converts plugins to protobuf."""

from protos.provisioner.v1 import plugins_pb2 as pb
from services.provisioner.plugins.model import InstalledPlugin


def plugin_to_proto(plugin: InstalledPlugin) -> pb.Plugin:
    """Return the protobuf message of an installed plugin."""
    manifest = plugin.manifest
    return pb.Plugin(
        name=manifest.name,
        version=manifest.version,
        description=manifest.description,
        author=manifest.author,
        tags=manifest.tags,
        skills=manifest.skills,
        runtimes=manifest.runtimes,
        is_supported_on_runtime=plugin.is_supported,
    )
