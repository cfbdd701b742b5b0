"""Makes delegations for tests of the pure modules."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.a2a_proxy.delegations.model import Delegation

NOW = datetime(2026, 5, 1, 8, 30, tzinfo=UTC)


def make_delegation(**fields) -> Delegation:
    """Make an open root delegation between two new workspaces, unless the fields say otherwise."""
    id_ = fields.get("id") or str(uuid4())
    values = {
        "id": id_,
        "delegation_id": id_,
        "source_id": str(uuid4()),
        "target_id": str(uuid4()),
        "root_id": id_,
        "created_at": NOW,
        "deadline": NOW + timedelta(hours=1),
    }
    return Delegation(**values | fields)


def make_child(parent: Delegation, **fields) -> Delegation:
    """Make a delegation from the target of `parent` to a new workspace."""
    lineage = {
        "source_id": parent.target_id,
        "root_id": parent.root_id,
        "parent_id": parent.id,
        "ancestors": (*parent.ancestors, parent.id),
        "depth": parent.depth + 1,
    }
    return make_delegation(**lineage | fields)
