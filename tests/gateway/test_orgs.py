"""The routes of organisations, teams and bundles: what they take, ask for and answer."""

import json

import pytest

from protos.registry.v1 import bundles_pb2, templates_pb2
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound

W = "11111111-1111-4111-8111-111111111111"

MADE = templates_pb2.ImportOrgResponse(
    org="o",
    members=[
        templates_pb2.OrgMember(id=W, name="lead", tier=2, runtime="echo"),
        templates_pb2.OrgMember(id="x", name="ann", tier=1, runtime="echo", parent=0),
    ],
    unset_env=[templates_pb2.EnvironmentNeed(any_of=["A"]), templates_pb2.EnvironmentNeed(any_of=["B", "C"])],
)


async def test_org_templates_are_listed(plane):
    need = templates_pb2.EnvironmentNeed
    plane.templates.replies["ListOrgTemplates"] = templates_pb2.ListOrgTemplatesResponse(
        templates=[
            templates_pb2.OrgTemplate(
                dir="d", name="D", description="x", workspaces=3, required_env=[need(any_of=["A"])]
            )
        ]
    )

    answer = await plane.http.get("/org/templates")

    assert answer.json() == [
        {
            "dir": "d",
            "name": "D",
            "description": "x",
            "workspaces": 3,
            "required_env": ["A"],
            "recommended_env": [],
        }
    ]


async def test_an_organisation_is_imported_by_its_directory(plane):
    plane.templates.replies["ImportOrg"] = MADE

    answer = await plane.http.post("/org/import", json={"dir": "d", "force": True})

    assert (answer.status_code, answer.json()) == (
        201,
        {
            "org": "o",
            "count": 2,
            "workspaces": [{"id": W, "name": "lead", "tier": 2}, {"id": "x", "name": "ann", "tier": 1}],
        },
    )
    [asked] = plane.templates.received
    assert (asked.request.dir, asked.request.dry_run, bool(asked.request.request_id)) == ("d", False, True)


async def test_a_dry_run_answers_what_would_be_created(plane):
    plane.templates.replies["ImportOrg"] = MADE

    answer = await plane.http.post("/org/import", json={"template": {"name": "o"}, "dry_run": True})

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "org": "o",
            "count": 2,
            "workspaces": [
                {"name": "lead", "tier": 2, "runtime": "echo", "parent": None},
                {"name": "ann", "tier": 1, "runtime": "echo", "parent": "lead"},
            ],
            "dry_run": True,
            "unset_recommended_env": ["A", {"any_of": ["B", "C"]}],
        },
    )
    [asked] = plane.templates.received
    assert json.loads(asked.request.template) == {"name": "o"}


@pytest.mark.covers("REG-61")
@pytest.mark.parametrize(
    ("kind", "reason", "details", "status"),
    [
        (InvalidArgument, "INVALID_ORG_DIRECTORY", {}, 400),
        (InvalidArgument, "ORG_EXPANSION_FAILED", {"detail": "x"}, 400),
        (InvalidArgument, "INVALID_ORG_TEMPLATE", {"detail": "x"}, 400),
        (InvalidArgument, "ORG_SOURCE_REQUIRED", {}, 400),
        (NotFound, "ORG_TEMPLATE_NOT_FOUND", {}, 404),
        (FailedPrecondition, "MISSING_ENVIRONMENT", {"missing": ["A"], "suggestion": "set"}, 412),
    ],
)
async def test_refusals_of_an_import_have_the_form_of_the_contract(plane, kind, reason, details, status):
    error = type("Refusal", (kind,), {"domain": "molecule.registry.v1", "reason": reason})
    plane.templates.replies["ImportOrg"] = error("the text", details=details)

    answer = await plane.http.post("/org/import", json={})

    assert (answer.status_code, answer.json()) == (status, {"error": "the text", **details})


async def test_a_team_is_expanded_and_collapsed(plane):
    plane.templates.replies["ExpandTeam"] = templates_pb2.ExpandTeamResponse(
        children=[
            templates_pb2.TeamMember(id="x", name="ann", role="Writes"),
            templates_pb2.TeamMember(id="y", name="bob"),
        ]
    )
    plane.templates.replies["CollapseTeam"] = templates_pb2.CollapseTeamResponse(removed=["ann", "bob"])

    expanded = await plane.http.post(f"/workspaces/{W}/expand")
    asked_only = await plane.http.post(f"/workspaces/{W}/collapse", json={"dry_run": True})
    collapsed = await plane.http.post(f"/workspaces/{W}/collapse")

    assert expanded.json() == {
        "status": "expanded",
        "children": [{"id": "x", "name": "ann", "role": "Writes"}, {"id": "y", "name": "bob", "role": None}],
    }
    assert asked_only.json() == {"status": "unchanged", "removed": ["ann", "bob"]}
    assert collapsed.json() == {"status": "collapsed", "removed": ["ann", "bob"]}
    assert [asked.request.workspace_id for asked in plane.templates.received] == [W, W, W]
    assert [asked.request.dry_run for asked in plane.templates.received[1:]] == [True, False]


async def test_a_bundle_is_exported_and_imported_unchanged(plane):
    plane.bundles.replies["ExportBundle"] = bundles_pb2.ExportBundleResponse(bundle=b'{"name":"root","x":1}')
    plane.bundles.replies["ImportBundle"] = bundles_pb2.ImportBundleResponse(
        root=bundles_pb2.BundleMember(
            workspace_id=W,
            name="root",
            status="provisioning",
            children=[bundles_pb2.BundleMember(workspace_id="x", name="a", status="awaiting_agent")],
        )
    )

    out = await plane.http.get(f"/bundles/export/{W}")
    back = await plane.http.post("/bundles/import", content=out.content)

    assert out.json() == {"name": "root", "x": 1}
    assert json.loads(plane.bundles.received[1].request.bundle) == out.json()
    assert (back.status_code, back.json()) == (
        201,
        {
            "workspace_id": W,
            "name": "root",
            "status": "provisioning",
            "children": [{"workspace_id": "x", "name": "a", "status": "awaiting_agent"}],
        },
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"3"])
async def test_a_bundle_that_is_no_object_is_refused(plane, content):
    answer = await plane.http.post("/bundles/import", content=content)

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid bundle"})
