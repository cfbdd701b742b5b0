"""Judges what the plane answers: its services, clocks, workspaces, messages and schedules. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from molecule_cli.diagnosis.model import Finding, fault, ok, skipped, warning

MAX_CLOCK_SKEW = timedelta(seconds=30)
"""Beyond that, times in logs cannot be compared, and tokens and deadlines end at surprising times."""

MAX_LOOP_SILENCE_SECONDS = 1800
"""The slowest background loop ticks every ten minutes."""

CERTIFICATE_WARNING = timedelta(days=30)

MAX_LISTED_WORKSPACES = 20

SERVICE_STEPS = (
    ("service does not answer", "look at the log of {name}, and start it again; molecule up does that by itself"),
    ("database does not answer", "start PostgreSQL, or check DATABASE_URL and the network between them"),
    ("database starts", "wait if PostgreSQL starts; free space on its disk if it is full"),
    ("the backend of instances", "start the engine of containers, or check DOCKER_HOST of the provisioner"),
    ("changes of workspaces", "look at the log of the registry; the service connects again by itself"),
)
"""The next step for the cause that `/ready` names, by the beginning of its text."""

VAULT_REASONS = frozenset({"global_secret_unreadable", "workspace_secret_unreadable"})

START_STEPS = {
    "missing_environment": "molecule secrets set NAME --for {name} sets what is missing",
    "image_missing": "build or pull the image of its runtime; docs/operating.md, Images of workspaces",
    "no_adapter": "choose another runtime: molecule ws edit {name} --runtime echo",
    "backend_unavailable": "start the engine of containers; the plane then starts the agent by itself",
    "plane_unavailable": "see the services above; the plane then starts the agent by itself",
    "no_provisioner": "start the provisioner; the plane then starts the agent by itself",
    "agent_ended": "molecule ws logs {name} shows what it wrote before it ended",
    "provision_cancelled": "molecule ws restart {name} starts it again",
}
"""The next step for the reason of a start that fails or waits."""


def judge_version(plane_version: object, own_version: str) -> Finding:
    """Compare the release of the plane with that of this command."""
    if not isinstance(plane_version, str):
        step = "use the molecule command of the plane's release"
        return warning("version", f"the plane does not name its release; this command has {own_version}", step)
    if plane_version != own_version:
        step = f"install the same release on both sides: this command should be {plane_version}"
        return fault("version", f"the plane has release {plane_version}, this command {own_version}", step)
    return ok("version", f"plane and command have release {own_version}")


def judge_clock(date_header: str | None, *, now: datetime) -> Finding:
    """Compare the clock of the plane, as the header of its answer tells it, with that of this machine."""
    try:
        plane_time = parsedate_to_datetime(date_header or "").astimezone(UTC)
    except ValueError:
        return skipped("clock", "the answer of the plane has no time")
    skew = plane_time - now
    if abs(skew) <= MAX_CLOCK_SKEW:
        return ok("clock", "the clocks of the plane and of this machine agree")
    direction = "ahead of" if skew > timedelta() else "behind"
    text = f"the clock of the plane is {abs(skew).total_seconds():.0f} s {direction} that of this machine"
    return fault("clock", text, "set both by NTP: timedatectl set-ntp true")


def judge_services(checks: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield one finding for each service of the plane."""
    for name, check in checks.items():
        if check["status"] == "ok":
            yield ok(name, f"ready, answers in {check.get('latency_ms', '?')} ms")
            continue
        cause = str(check.get("detail") or "not ready")
        step = next((step for beginning, step in SERVICE_STEPS if cause.startswith(beginning)), SERVICE_STEPS[0][1])
        yield fault(name, cause, step.format(name=name))


def judge_loops(subsystems: Mapping[str, Mapping[str, Any]]) -> Finding:
    """Say whether each background loop of the services ticks."""
    silent = [
        f"{name} ({loop['seconds_ago']} s)"
        for name, loop in sorted(subsystems.items())
        if loop.get("seconds_ago") is not None and loop["seconds_ago"] > MAX_LOOP_SILENCE_SECONDS
    ]
    if silent:
        step = "look at the log of its service; if it hangs, restart the service and report this"
        return fault("loops", f"background loops have not ticked for long: {', '.join(silent)}", step)
    return ok("loops", f"{len(subsystems)} background loops tick")


def judge_workspaces(workspaces: Sequence[Mapping[str, Any]], paths: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the workspaces that do not run although they should, each with its cause.

    `workspaces` have the member `provisioning` where they fail or start. A wrong key of the vault is one finding.
    """
    locked = [one for one in workspaces if _read_reason(one) in VAULT_REASONS]
    if locked:
        names = ", ".join(paths[one["id"]] for one in locked[:MAX_LISTED_WORKSPACES])
        step = (
            "start auth with the SECRETS_ENCRYPTION_KEY that the secrets were stored with, or set them again with"
            " molecule secrets set; the plane then starts the agents by itself"
        )
        yield fault("vault key", f"secrets cannot be decrypted, so these agents do not start: {names}", step)
    broken = [one for one in workspaces if one["status"] in {"failed", "offline", "degraded"} and one not in locked]
    for one in broken[:MAX_LISTED_WORKSPACES]:
        name = paths[one["id"]]
        step = START_STEPS.get(_read_reason(one), "molecule ws logs {name} shows what it wrote").format(name=name)
        judge = warning if one["status"] == "degraded" else fault
        yield judge(f"workspace {name}", f"{one['status']}: {_read_cause(one)}", step)
    if len(broken) > MAX_LISTED_WORKSPACES:
        step = "molecule ws list --status failed,offline,degraded shows all of them"
        yield fault("workspaces", f"{len(broken) - MAX_LISTED_WORKSPACES} more do not run", step)
    waiting = [one for one in workspaces if one["status"] == "provisioning" and one not in locked]
    if waiting:
        names = ", ".join(f"{paths[one['id']]} ({_read_cause(one)})" for one in waiting[:MAX_LISTED_WORKSPACES])
        yield warning("workspaces", f"still starting: {names}", "molecule ws wait NAME waits for one")
    elif not broken and not locked:
        yield ok("workspaces", f"{len(workspaces)} workspaces, none failed")


def judge_messages(undelivered: int, accounts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield whether messages wait for a decision, and whether every accepted message is in exactly one state."""
    if undelivered:
        step = "molecule queue list --status dead,unknown shows them"
        yield warning("messages", f"{undelivered} messages were not delivered and wait for your decision", step)
    else:
        yield ok("messages", "none waits for a decision")
    if not accounts.get("total", {}).get("balanced", True):
        yield fault("accounts", "accepted messages are missing or counted twice", "molecule queue accounts shows where")


def judge_schedules(late: int, total: int) -> Finding:
    """Say whether the schedules run as they should."""
    if late:
        step = "molecule schedules health shows them"
        return warning("schedules", f"{late} of {total} do not run as they should", step)
    return ok("schedules", f"{total} schedules run as they should" if total else "none")


def judge_certificate(name: str, valid_until: datetime, *, now: datetime) -> Finding:
    """Say how long a certificate is still valid."""
    remaining = valid_until - now
    step = "molecule certs DIRECTORY renews those of the services; restart them afterwards"
    if remaining <= timedelta():
        return fault(f"certificate {name}", f"expired on {valid_until:%Y-%m-%d}", step)
    if remaining < CERTIFICATE_WARNING:
        text = f"ends in {remaining.days} days, on {valid_until:%Y-%m-%d}"
        return warning(f"certificate {name}", text, step)
    return ok(f"certificate {name}", f"valid until {valid_until:%Y-%m-%d}")


def judge_disk(free_bytes: int, path: object, *, check: str = "disk") -> Finding:
    """Say whether the disk of the home has space."""
    free = f"{free_bytes / 1024**3:.1f} GiB free in {path}"
    step = f"free space there; du -sh {path}/* shows what takes it"
    if free_bytes < MIN_FREE_BYTES:
        return fault(check, f"the disk is nearly full: {free}", step)
    if free_bytes < LOW_FREE_BYTES:
        return warning(check, f"the disk has little space: {free}", step)
    return ok(check, free)


MIN_FREE_BYTES = 256 * 1024**2
"""With less PostgreSQL soon cannot write."""

LOW_FREE_BYTES = 2 * 1024**3


def _read_reason(workspace: Mapping[str, Any]) -> str:
    provisioning = workspace.get("provisioning")
    reason = provisioning.get("reason") if isinstance(provisioning, dict) else None
    return str(reason or workspace.get("status_reason") or "")


def _read_cause(workspace: Mapping[str, Any]) -> str:
    provisioning = workspace.get("provisioning")
    step = provisioning.get("text") if isinstance(provisioning, dict) else None
    cause = str(workspace.get("status_detail") or workspace.get("status_reason") or step or "no cause is known")
    return f"{cause} {step}" if step and workspace["status"] == "provisioning" else cause
