"""The schema, its sequence, and its notification channel."""

import sqlalchemy as sa

from services.chassis.database import metadata

META = metadata("registry")

REVISION_CHANNEL = "registry_feed"
"""The channel that every commit with a new revision notifies."""

revision_sequence = sa.Sequence("numbers", schema=META.schema, metadata=META)
"""Revisions and event ids, in the order of commits."""
