"""Decides what an error that the engine reports means."""


def is_removal_in_progress(text: str) -> bool:
    """Whether another request removes the container already (PROV-10). No other conflict means success."""
    lowered = text.lower()
    return "removal of container" in lowered and "already in progress" in lowered


def is_disk_full(text: str) -> bool:
    """Whether the engine, or a program that it ran, found no room on its disk, whatever status it answers with."""
    lowered = text.lower()
    return "no space left on device" in lowered or "disk quota exceeded" in lowered
