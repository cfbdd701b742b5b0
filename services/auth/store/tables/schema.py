"""The schema of auth, and the parameters that several queries share."""

import sqlalchemy as sa

from services.chassis.database import build_metadata

SCHEMA = "auth"
"""Only auth's database role has access to this schema."""

AUTH = build_metadata(SCHEMA)

NOW = sa.bindparam("now", type_=sa.TIMESTAMP(timezone=True))
"""The time at which tokens and sessions must be live."""

DIGESTS = sa.bindparam("digests", type_=sa.ARRAY(sa.LargeBinary))
"""The digests to look up."""
