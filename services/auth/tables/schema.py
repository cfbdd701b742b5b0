"""The schema."""

from services.chassis.database import metadata

SCHEMA = "auth"
"""The schema, and nobody else's."""

AUTH = metadata(SCHEMA)
