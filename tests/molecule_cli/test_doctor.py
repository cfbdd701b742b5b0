"""`molecule doctor` names each fault with its cause and the next step."""

import json
import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy import certs, lock
from molecule_cli import release
from molecule_cli.diagnosis import judgement
from molecule_cli.diagnosis.model import Verdict
from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import TOKEN, WRITER, FakePlane, OtherServer, serve

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class CheckedPlane(FakePlane):
    """Is healthy; a test seeds a fault by changing a member."""

    sends_own_date = True

    def __init__(self) -> None:
        super().__init__()
        self.workspaces = [one | {"status": "online"} for one in self.workspaces]
        self.checks |= {name: {"status": "ok", "latency_ms": 1} for name in ("a2a_proxy", "provisioner")}
        self.version: str | None = release.read_version()
        self.clock_skew = timedelta()
        self.loops = {"removals": {"last_tick_at": None, "seconds_ago": 3}}
        self.undelivered: list[dict] = []
        self.balanced = True
        self.schedules: list[dict] = []

    def app(self):
        app = super().app()
        answers = {
            "/health": lambda: {"status": "ok"},
            "/admin/liveness": lambda: {"subsystems": self.loops},
            "/admin/a2a-queue": lambda: self.undelivered,
            "/admin/a2a-queue/accounts": lambda: {"total": {"balanced": self.balanced}, "targets": []},
            "/admin/schedules/health": lambda: self.schedules,
        }
        routes = [Route(path, self.reply_with(answer)) for path, answer in answers.items()]
        app.routes[:0] = [*routes, Route("/", self.start), Route("/session", self.session)]
        return app

    @staticmethod
    def reply_with(answer):
        async def reply(_: Request) -> Response:
            return JSONResponse(answer())

        return reply

    async def start(self, _: Request) -> Response:
        date = format_datetime(datetime.now(UTC) + self.clock_skew, usegmt=True)
        return JSONResponse({"name": "Molecule", "version": self.version}, headers={"date": date})

    async def session(self, request: Request) -> Response:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse({"error": "missing auth token"}, 401)
        return JSONResponse({"kind": "admin" if self.token else "anonymous"})


def fail_workspace(plane, **members):
    plane.workspaces[1] |= {"status": "failed", "status_detail": "The instance could not be started."} | members


@pytest.fixture
def plane():
    return CheckedPlane()


def examine(url, *arguments, **environment):
    result = molecule("doctor", *arguments, "-o", "json", **{"MOLECULE_URL": url, **environment})
    return result.returncode, {one["check"]: one for one in json.loads(result.stdout)}


SEEDED = {
    "wrong token": (
        lambda plane: setattr(plane, "token", TOKEN),
        "token",
        "the plane asks for a token, and none is set",
        "set MOLECULE_TOKEN",
    ),
    "database away": (
        lambda plane: plane.checks.update(registry={"status": "fail", "detail": "database does not answer"}),
        "registry",
        "database does not answer",
        "start PostgreSQL, or check DATABASE_URL",
    ),
    "database full": (
        lambda plane: plane.checks.update(auth={"status": "fail", "detail": "database starts, stops or is full"}),
        "auth",
        "database starts, stops or is full",
        "free space on its disk",
    ),
    "service dead": (
        lambda plane: plane.checks.update(a2a_proxy={"status": "fail", "detail": "service does not answer"}),
        "a2a_proxy",
        "service does not answer",
        "look at the log of a2a_proxy",
    ),
    "engine unreachable": (
        lambda plane: plane.checks.update(
            provisioner={"status": "fail", "detail": "the backend of instances does not answer"}
        ),
        "provisioner",
        "the backend of instances does not answer",
        "start the engine of containers, or check DOCKER_HOST",
    ),
    "clock ahead": (
        lambda plane: setattr(plane, "clock_skew", timedelta(minutes=10)),
        "clock",
        "ahead of that of this machine",
        "timedatectl set-ntp true",
    ),
    "version mismatch": (
        lambda plane: setattr(plane, "version", "99.0.0"),
        "version",
        "the plane has release 99.0.0",
        "this command should be 99.0.0",
    ),
    "wrong vault key": (
        lambda plane: fail_workspace(plane, provisioning={"reason": "global_secret_unreadable"}),
        "vault key",
        "secrets cannot be decrypted, so these agents do not start: lead/writer",
        "start auth with the SECRETS_ENCRYPTION_KEY",
    ),
    "missing secret": (
        lambda plane: fail_workspace(plane, provisioning={"reason": "missing_environment"}),
        "workspace lead/writer",
        "failed: The instance could not be started.",
        "molecule secrets set NAME --for lead/writer",
    ),
    "crash loop": (
        lambda plane: fail_workspace(plane, provisioning={"reason": "agent_ended"}),
        "workspace lead/writer",
        "failed: The instance could not be started.",
        "molecule ws logs lead/writer",
    ),
    "loop hangs": (
        lambda plane: plane.loops.update(removals={"last_tick_at": None, "seconds_ago": 7200}),
        "loops",
        "removals (7200 s)",
        "restart the service",
    ),
    "accounts": (
        lambda plane: setattr(plane, "balanced", False),
        "accounts",
        "missing or counted twice",
        "molecule queue accounts",
    ),
}
"""For each fault: how it is seeded, the check that finds it, and parts of the text and of the next step."""


@pytest.mark.covers("TTY-20")
@pytest.mark.parametrize("name", SEEDED)
def test_a_seeded_fault_is_named_with_its_cause_and_the_next_step(plane, name):
    seed, check, text, next_step = SEEDED[name]
    seed(plane)

    with serve(plane) as url:
        code, findings = examine(url)

    assert code == 1
    assert [one["check"] for one in findings.values() if one["verdict"] == "fault"] == [check]
    assert text in findings[check]["text"]
    assert next_step in findings[check]["next_step"]


@pytest.mark.covers("TTY-20")
def test_a_healthy_plane_has_no_fault(plane):
    plane.token = TOKEN
    with serve(plane) as url:
        result = molecule("doctor", MOLECULE_URL=url, MOLECULE_TOKEN=TOKEN)
        code, findings = examine(url, MOLECULE_TOKEN=TOKEN)

    assert (result.returncode, code) == (0, 0)
    assert result.stdout.endswith("no fault was found\n")
    assert {"address", "token", "clock", "version", "registry", "workspaces", "messages"} <= set(findings)


@pytest.mark.covers("TTY-20")
def test_a_plane_that_is_down_is_named(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]

    code, findings = examine(f"http://127.0.0.1:{port}", MOLECULE_HOME=str(tmp_path / "home"))

    assert code == 1
    assert findings["address"]["text"] == f"no plane answers at http://127.0.0.1:{port}: nothing listens there"
    assert "molecule up" in findings["address"]["next_step"]


@pytest.mark.covers("TTY-20")
def test_another_program_on_the_port_is_named(tmp_path):
    with serve(OtherServer()) as url:
        _, by_url = examine(url)
        _, by_home = examine("", MOLECULE_HOME=str(make_home(tmp_path)), PORT=url.rpartition(":")[2])

    assert by_url["address"]["text"] == f"what answers at {url} is not a plane"
    assert by_home["port"]["text"].endswith("cannot be used: Address already in use")
    assert f"PORT={int(url.rpartition(':')[2]) + 1}" in by_home["port"]["next_step"]


@pytest.mark.covers("TTY-20")
def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "home").write_text("a file where the directory should be")

    _, findings = examine("http://127.0.0.1:1", MOLECULE_HOME=str(tmp_path / "home" / "inside"))

    assert findings["home"]["verdict"] == "fault"
    assert "MOLECULE_HOME" in findings["home"]["next_step"]


@pytest.mark.covers("TTY-20")
def test_an_engine_that_does_not_answer_is_named(tmp_path):
    where = {"MOLECULE_HOME": str(tmp_path / "home"), "BACKEND": "docker"}

    _, away = examine("http://127.0.0.1:1", DOCKER_HOST=f"unix://{tmp_path}/docker.sock", **where)

    assert away["engine"]["verdict"] == "fault"
    assert f"the Docker Engine at unix://{tmp_path}/docker.sock does not answer" in away["engine"]["text"]
    assert "DOCKER_HOST" in away["engine"]["next_step"]


@pytest.mark.covers("TTY-20")
def test_certificates_near_their_end_are_named(plane, tmp_path):
    certs.create_certificates(tmp_path, hosts=[], validity=timedelta(days=10))

    with serve(plane) as url:
        code, findings = examine(url, "--certs", str(tmp_path))

    assert code == 0
    assert findings["certificate registry.pem"]["verdict"] == "warning"
    assert findings["certificate registry.pem"]["text"].startswith("ends in ")
    assert "molecule certs DIRECTORY" in findings["certificate registry.pem"]["next_step"]
    assert findings["certificate ca.pem"]["verdict"] == "ok"


@pytest.mark.covers("TTY-20")
@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (judgement.judge_certificate("a", NOW - timedelta(days=1), now=NOW), Verdict.FAULT),
        (judgement.judge_certificate("a", NOW + timedelta(days=29), now=NOW), Verdict.WARNING),
        (judgement.judge_certificate("a", NOW + timedelta(days=31), now=NOW), Verdict.OK),
        (judgement.judge_disk(0, "/home"), Verdict.FAULT),
        (judgement.judge_disk(1024**3, "/home"), Verdict.WARNING),
        (judgement.judge_disk(1024**4, "/home"), Verdict.OK),
        (judgement.judge_clock(None, now=NOW), Verdict.SKIPPED),
        (judgement.judge_clock("Fri, 01 May 2026 11:59:00 GMT", now=NOW), Verdict.FAULT),
        (judgement.judge_clock("Fri, 01 May 2026 11:59:50 GMT", now=NOW), Verdict.OK),
        (judgement.judge_version(None, "1.0"), Verdict.WARNING),
        (judgement.judge_schedules(1, 2), Verdict.WARNING),
    ],
    ids=lambda value: value.check.partition(" ")[0] if hasattr(value, "check") else str(value),
)
def test_each_judgement_has_its_limits(finding, verdict):
    assert finding.verdict is verdict
    assert bool(finding.next_step) == (verdict in {Verdict.FAULT, Verdict.WARNING})


@pytest.mark.covers("TTY-20")
def test_what_the_token_may_not_see_is_no_fault(plane):
    async def refuse(_: Request) -> Response:
        return JSONResponse({"error": "org access denied"}, 403)

    with serve(plane) as url:
        pass
    app = plane.app()
    app.routes.insert(0, Route("/admin/liveness", refuse))
    plane.app = lambda: app
    with serve(plane) as url:
        code, findings = examine(url)

    assert (code, findings["loops"]["verdict"]) == (0, "skipped")


@pytest.mark.covers("TTY-15", "TTY-20")
def test_scripts_get_the_names_of_the_faults(plane):
    fail_workspace(plane, provisioning={"reason": "agent_ended"})
    plane.version = "99.0.0"

    with serve(plane) as url:
        result = molecule("doctor", "-o", "name", MOLECULE_URL=url)

    assert (result.returncode, result.stdout) == (1, "version\nworkspace lead/writer\n")


def test_workspaces_are_read_one_by_one_only_where_the_cause_is_missing(plane):
    fail_workspace(plane)
    read = []
    details = plane.details

    async def note(request: Request) -> Response:
        read.append(request.path_params["id"])
        return await details(request)

    plane.details = note
    with serve(plane) as url:
        examine(url)

    assert read == [WRITER]


def make_home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / lock.FILE_NAME).touch()
    return home
