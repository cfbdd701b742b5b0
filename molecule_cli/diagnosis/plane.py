"""Checks a plane over its REST contract: whether it answers, accepts the token, and does its work."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from molecule_cli import release, schedule_tables, workspace_paths, workspaces
from molecule_cli.answer_json import parse_json
from molecule_cli.diagnosis import judgement
from molecule_cli.diagnosis.model import Finding, Verdict, fault, ok, skipped
from molecule_cli.errors import CliError, PlaneRefusal

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

NAME = "Molecule"
"""What a plane calls itself at `GET /`."""

DETAILED_STATUSES = frozenset({"failed", "provisioning"})
"""Statuses of workspaces that have the member `provisioning` when they are read one by one."""

MAX_DETAIL_REQUESTS = 50

UNAUTHORIZED = 401

OWN_FAULT = (401, 403)


def check_plane(plane: "PlaneClient") -> Iterator[Finding]:
    """Yield a finding for each check, as far as the plane answers and the token allows."""
    address = _check_address(plane)
    yield address
    if address.verdict is not Verdict.OK:
        return
    yield from _check_starting_point(plane)
    token = _check_token(plane)
    yield token
    yield from _report("services", lambda: judgement.judge_services(plane.checks()))
    if token.verdict is not Verdict.OK:
        yield skipped("workspaces", "not checked, because the token is not accepted")
        return
    yield from _report("loops", lambda: [_check_loops(plane)])
    yield from _report("workspaces", lambda: _check_workspaces(plane))
    yield from _report("messages", lambda: _check_messages(plane))
    yield from _report("schedules", lambda: [_check_schedules(plane)])


def _check_address(plane: "PlaneClient") -> Finding:
    """Say whether a plane answers at the address, or something else, or nothing."""
    url = plane.client.base_url
    try:
        response = plane.client.get("/health", timeout=httpx.Timeout(10, connect=5))
        is_plane = parse_json(response.content) == {"status": "ok"}
    except httpx.ConnectError as error:
        cause = "the certificate is not trusted" if "CERTIFICATE" in str(error) else "nothing listens there"
        step = "molecule up -d starts a plane on this machine; MOLECULE_URL or molecule config name another"
        return fault("address", f"no plane answers at {url}: {cause}", step)
    except httpx.TimeoutException:
        step = "look at the log of the gateway, and at the firewall between"
        return fault("address", f"{url} does not answer in time", step)
    except (httpx.HTTPError, ValueError):
        is_plane = False
    if is_plane:
        return ok("address", f"a plane answers at {url}")
    step = "check the port: another program uses it; MOLECULE_URL names the plane"
    return fault("address", f"what answers at {url} is not a plane", step)


def _check_starting_point(plane: "PlaneClient") -> Iterator[Finding]:
    try:
        response = plane.client.get("/")
        starting_point = parse_json(response.content)
    except (httpx.HTTPError, ValueError):
        return
    now = datetime.now(UTC)
    version = starting_point.get("version") if isinstance(starting_point, dict) else None
    yield judgement.judge_version(version, release.read_version())
    yield judgement.judge_clock(response.headers.get("date"), now=now)


def _check_token(plane: "PlaneClient") -> Finding:
    try:
        caller = plane.request("GET", "/session")
    except PlaneRefusal as refusal:
        if refusal.status != UNAUTHORIZED:
            return fault("token", f"cannot be checked: {refusal}", "see the services below")
        has_token = "Authorization" in plane.client.headers
        text = "the plane does not accept the token" if has_token else "the plane asks for a token, and none is set"
        step = "set MOLECULE_TOKEN to a token of this plane, or store one with molecule config set NAME --token"
        return fault("token", text, step)
    except CliError as error:
        return fault("token", str(error), "see the services below")
    kinds = {"admin": "opens everything", "org": "opens one organisation", "workspace": "is that of one workspace"}
    return ok("token", kinds.get(caller["kind"], "none is needed: this plane is open to everybody on its machine"))


def _report(check: str, find: Any) -> Iterator[Finding]:  # noqa: ANN401 - a function that returns findings
    """Yield what a check finds; a refusal because of the token's scope is no fault of the plane."""
    try:
        yield from list(find())
    except PlaneRefusal as refusal:
        if refusal.status in OWN_FAULT:
            yield skipped(check, f"not checked: {refusal}")
        else:
            yield fault(check, f"cannot be checked: {refusal}", "see the services above")
    except CliError as error:
        yield fault(check, f"cannot be checked: {error}", "molecule doctor tries again")


def _check_loops(plane: "PlaneClient") -> Finding:
    return judgement.judge_loops(plane.request("GET", "/admin/liveness")["subsystems"])


def _check_workspaces(plane: "PlaneClient") -> Iterator[Finding]:
    found = workspaces.list_workspaces(plane)
    unclear = [one["id"] for one in found if one["status"] in DETAILED_STATUSES][:MAX_DETAIL_REQUESTS]
    details = {workspace_id: plane.request("GET", f"/workspaces/{workspace_id}") for workspace_id in unclear}
    return judgement.judge_workspaces(
        [details.get(one["id"], one) for one in found], workspace_paths.build_paths(found)
    )


def _check_messages(plane: "PlaneClient") -> Iterator[Finding]:
    undelivered = plane.request("GET", "/admin/a2a-queue", query={"status": "dead,unknown", "limit": 500})
    return judgement.judge_messages(len(undelivered), plane.request("GET", "/admin/a2a-queue/accounts"))


def _check_schedules(plane: "PlaneClient") -> Finding:
    found = plane.request("GET", "/admin/schedules/health")
    return judgement.judge_schedules(sum(map(schedule_tables.is_unhealthy, found)), len(found))
