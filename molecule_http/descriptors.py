"""Raises the number of file descriptors that the process may have."""

import resource
from contextlib import suppress

MAX_DESCRIPTORS = 65536
"""More are not needed, and some programs that a process starts take long to close very many."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard limit, at most to `MAX_DESCRIPTORS`; returns the limit that counts then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
