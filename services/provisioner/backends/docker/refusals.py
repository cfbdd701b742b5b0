"""Decides what a conflict that the engine reports means."""


def is_removal_in_progress(text: str) -> bool:
    """Whether another request removes the container already (PROV-10). No other conflict means success."""
    lowered = text.lower()
    return "removal of container" in lowered and "already in progress" in lowered
