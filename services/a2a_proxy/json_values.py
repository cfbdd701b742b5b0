"""Reads members of JSON values of which nothing is known."""

from typing import Any

from services.a2a_proxy.model import JsonObject


def get_object(value: object, name: str) -> JsonObject:
    """Return a member that is an object; an empty one for anything else."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def get_list(value: object, name: str) -> list[Any]:
    """Return a member that is a list; an empty one for anything else."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
