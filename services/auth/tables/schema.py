"""The schema."""

from services.chassis.database import build_metadata

SCHEMA = "auth"
"""The schema, and nobody else's."""

AUTH = build_metadata(SCHEMA)
