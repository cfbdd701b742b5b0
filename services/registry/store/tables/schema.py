"""The schema, its one sequence, and its doorbell."""

import sqlalchemy as sa

from services.chassis.database import metadata

META = metadata("registry")

REVISION_CHANNEL = "registry_feed"
"""Rung by every commit that raises a revision."""

revision_sequence = sa.Sequence("numbers", schema=META.schema, metadata=META)
"""The one sequence: revisions and event ids, in the order of commits."""
