"""The recording adapter, which does not allow that a message reaches it twice. It is copied like that one."""

import recording_adapter

from molecule_agent.adapter import RuntimeCapabilities


class Adapter(recording_adapter.Adapter):
    """Answers with the text in capital letters, once."""

    def capabilities(self) -> RuntimeCapabilities:
        return RuntimeCapabilities()
