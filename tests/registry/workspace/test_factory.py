from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.workspace.factory import build_workspace
from services.registry.workspace.model import Brief, DeliveryMode, DirectoryAccess, Reason, Status, Workspace
from services.registry.workspace.starter_files import StarterFiles
from services.registry.workspace.status_texts import STATUS_DETAILS
from services.registry.workspace.validation import WorkspaceDraft, validate_new
from tests.registry.strategies import NOW

LIMIT = timedelta(minutes=10)


def build(starter_files=None, **fields):
    draft = validate_new(WorkspaceDraft(**{"name": "ada"} | fields))
    return build_workspace(draft, starter_files or StarterFiles(), workspace_id="w", now=NOW, limit=LIMIT)


def test_every_field_of_the_draft_is_taken_over():
    starter_files = StarterFiles(template="t", files={"config.yaml": "a: 1"}, brief=Brief(initial_prompt="go"))
    fields = {
        "name": "ada",
        "role": "cook",
        "tier": 2,
        "runtime": "echo",
        "model": "m",
        "parent_id": "p",
        "workspace_dir": "/srv/ada",
        "budget_limit": 5,
        "max_concurrent_tasks": 4,
        "hibernation_idle_minutes": 7,
        "x": 1.5,
        "y": -2.5,
    }

    assert build(starter_files, **fields, workspace_access="read_only", delivery_mode="poll") == Workspace(
        **fields,
        id="w",
        org_id="w",
        workspace_access=DirectoryAccess.READ_ONLY,
        delivery_mode=DeliveryMode.POLL,
        template="t",
        starter_files_digest=starter_files.digest,
        brief=starter_files.brief,
        status=Status.PROVISIONING,
        status_reason=Reason.CREATED,
        status_detail=STATUS_DETAILS[Reason.CREATED],
        status_since=NOW,
        created_at=NOW,
        generation=1,
        provision_deadline=NOW + LIMIT,
    )


def test_empty_fields_of_the_draft_are_absent():
    created = build()

    assert (created.role, created.model, created.parent_id, created.workspace_dir) == (None, None, None, None)
    assert (created.workspace_access, created.delivery_mode) == (DirectoryAccess.NONE, DeliveryMode.PUSH)


@given(st.booleans(), st.sampled_from(["", "echo", "external"]))
def test_an_instance_is_requested_exactly_if_the_plane_starts_the_agent(external, runtime):
    created = build(external=external, runtime=runtime)

    assert (created.generation, created.provision_deadline) == ((0, None) if created.external else (1, NOW + LIMIT))


@pytest.mark.parametrize(
    ("fields", "mode"),
    [
        ({"external": True}, DeliveryMode.POLL),
        ({"external": True, "url": "http://ada.example"}, DeliveryMode.PUSH),
        ({"external": True, "delivery_mode": "push"}, DeliveryMode.PUSH),
        ({}, DeliveryMode.PUSH),
    ],
)
def test_the_delivery_mode_is_the_requested_one_or_fits_the_agent(fields, mode):
    assert build(**fields).delivery_mode is mode
