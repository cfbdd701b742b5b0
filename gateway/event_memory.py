"""Limits the memory of incomplete events, over all streams that the gateway converts. Pure."""

MAX_MEMORY_BYTES = 128 * 1024 * 1024
"""Bytes of the incomplete events of all streams."""


class EventMemory:
    """Counts the bytes that streams keep."""

    def __init__(self, max_bytes: int = MAX_MEMORY_BYTES) -> None:
        self._max_bytes = max_bytes
        self.used_bytes = 0

    def replace(self, old: int, new: int) -> bool:
        """Count `new` bytes of a stream instead of `old`; return whether there is room for them."""
        self.used_bytes += new - old
        return new <= old or self.used_bytes <= self._max_bytes
