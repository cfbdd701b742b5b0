"""Tests which placements may receive tokens, and which are roots of organisations."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.auth.errors import WorkspaceBarred, WorkspaceUnknown
from services.auth.model.placements import Placement, WorkspaceId
from services.auth.rules.placements import is_live_root, require_active

ROOT = Placement(
    workspace_id=WorkspaceId("root"), org_id="root", lowest_generation=0, barred_at=None, sealed_inbound_secret=None
)
MEMBER = replace(ROOT, workspace_id=WorkspaceId("member"))
BARRED_ROOT = replace(ROOT, barred_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("placement", [ROOT, MEMBER])
def test_a_known_workspace_that_is_not_barred_is_active(placement):
    assert require_active(placement) is placement


def test_an_unknown_workspace_is_not_active():
    with pytest.raises(WorkspaceUnknown):
        require_active(None)


def test_a_barred_workspace_is_not_active():
    with pytest.raises(WorkspaceBarred):
        require_active(BARRED_ROOT)


@pytest.mark.parametrize(
    ("placement", "expected"), [(ROOT, True), (MEMBER, False), (BARRED_ROOT, False), (None, False)]
)
def test_only_a_root_that_is_not_barred_is_a_live_root(placement, expected):
    assert is_live_root(placement) is expected
