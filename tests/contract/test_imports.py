"""The code keeps every import rule, and each rule detects a violation (ENG-01, ENG-14)."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

PACKAGES = (
    "services",
    "gateway",
    "protos",
    "deploy",
    "molecule_agent",
    "molecule_cli",
    "molecule_http",
    "molecule_a2a",
)

VIOLATIONS = {
    "Services do not import each other": ("services/registry/directory/queries.py", "import services.auth.model"),
    "The chassis knows no service, and no contract but the common one": (
        "services/chassis/pages.py",
        "import protos.auth.v1.auth_pb2",
    ),
    "The gateway reaches the services over gRPC only": (
        "gateway/json_format.py",
        "import services.registry.workspace.model",
    ),
    "The agent package knows nothing of the plane but its REST contract": (
        "molecule_agent/card.py",
        "import services.chassis.clock",
    ),
    "Adapters know the API for adapters only, as those of others do": (
        "molecule_agent/adapters/options.py",
        "import molecule_agent.credentials",
    ),
    "Only the adapters of models import SDKs of models": ("molecule_agent/card.py", "import anthropic"),
    "The HTTP server knows nothing of the plane and of agents": (
        "molecule_http/websocket.py",
        "import services.chassis.clock",
    ),
    "Only the gateway and agents serve HTTP": ("molecule_cli/rest.py", "import molecule_http.server"),
    "Inside the HTTP server; decisions are at the bottom": (
        "molecule_http/upgrades.py",
        "import molecule_http.connection",
    ),
    "The conversion of A2A knows the protocol only": ("molecule_a2a/parts.py", "import a2a.types"),
    "Inside the conversion of A2A": ("molecule_a2a/parts.py", "import molecule_a2a.tasks"),
    "Inside the HTTP+JSON binding of A2A": ("molecule_a2a/rest/routes.py", "import molecule_a2a.rest.requests"),
    "The command line talks REST, and starts the deployment": ("molecule_cli/rest.py", "import gateway.errors"),
    "Nothing imports the deployment but the command line": ("gateway/limits.py", "import deploy.up"),
    "Callers of auth": ("services/registry/directory/queries.py", "import protos.auth.v1.auth_pb2"),
    "Callers of the registry": ("services/registry/directory/queries.py", "import protos.registry.v1.registry_pb2"),
    "Callers of the provisioner": (
        "services/registry/feeds/workspace_feed.py",
        "import protos.provisioner.v1.provisioner_pb2",
    ),
    "Callers of the A2A proxy": ("services/auth/authorization.py", "import protos.a2a_proxy.v1.activity_pb2"),
    "Inside the registry": ("services/registry/workspace/state_machine.py", "import services.registry.store"),
    "Only app and creation import the notes": (
        "services/registry/lifecycle/removal.py",
        "import services.registry.notes.purge",
    ),
    "Inside each kind of note": (
        "services/registry/notes/configs/rules.py",
        "import services.registry.notes.configs.store",
    ),
    "Kinds of notes are independent": (
        "services/registry/notes/memories/store.py",
        "import services.registry.notes.entries.rules",
    ),
    "Inside the provisioner": ("services/provisioner/plan.py", "import services.provisioner.reconciler"),
    "Inside the A2A proxy": ("services/a2a_proxy/helpers.py", ""),
    "Parts of the A2A proxy broadcast through the emitter": (
        "services/a2a_proxy/reports.py",
        "import services.a2a_proxy.broadcasts",
    ),
    "Inside the queue of the A2A proxy": ("services/a2a_proxy/queue/rules.py", "import services.a2a_proxy.queue.store"),
    "Inside the store of the queue": (
        "services/a2a_proxy/queue/store/rows.py",
        "import services.a2a_proxy.queue.store.leases",
    ),
    "Inside the chat files": (
        "services/a2a_proxy/chat_files/rules.py",
        "import services.a2a_proxy.chat_files.service",
    ),
    "Inside the delegations": (
        "services/a2a_proxy/delegations/rules.py",
        "import services.a2a_proxy.delegations.store",
    ),
    "Inside the streams": ("services/a2a_proxy/streams/rules.py", "import services.a2a_proxy.streams.store"),
    "Inside the tasks": ("services/a2a_proxy/tasks/rules.py", "import services.a2a_proxy.tasks.store"),
    "Inside the push notifications": ("services/a2a_proxy/push/rules.py", "import services.a2a_proxy.push.store"),
    "Inside the messages of the plane": (
        "services/a2a_proxy/platform_messages/rules.py",
        "import services.a2a_proxy.platform_messages.service",
    ),
    "Inside auth": ("services/auth/rules/token_text.py", "import services.auth.authorization"),
    "Decisions are pure: no clock, no randomness, no network, no database, no protobuf": (
        "services/registry/workspace/hierarchy.py",
        "import time",
    ),
    "Only stores and tables use SQL": ("services/auth/api/auth.py", "import sqlalchemy"),
    "Backends do not import each other": (
        "services/provisioner/backends/fake.py",
        "import services.provisioner.backends.process",
    ),
    "Inside the plugins of the provisioner": (
        "services/provisioner/plugins/rules.py",
        "import services.provisioner.plugins.service",
    ),
    "Inside the Docker backend": (
        "services/provisioner/backends/docker/names.py",
        "import services.provisioner.backends.docker.backend",
    ),
    "Inside the control plane backend": (
        "services/provisioner/backends/control_plane/messages.py",
        "import services.provisioner.backends.control_plane.backend",
    ),
    "Only the Docker backend uses the Docker SDK": ("services/provisioner/janitor.py", "import docker"),
    "No cycles": ("services/chassis/clock.py", "import services.registry.app"),
}
"""A violation of every rule: a file, and the line that is added to it."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the code with all violations at once; import-linter checks each rule separately."""
    folder = tmp_path_factory.mktemp("spoilt")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, line in VIOLATIONS.values():
        spoilt = folder / path
        spoilt.write_text((spoilt.read_text() if spoilt.exists() else "") + f"\n{line}\n")
    return folder


def run_linter(folder):
    """Return the verdict for the name of every rule, and the whole report."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE)), done.stdout


@pytest.mark.covers("ENG-01")
def test_the_code_keeps_every_import_rule():
    verdicts, report = run_linter(ROOT)
    assert set(verdicts) == set(VIOLATIONS), report
    assert set(verdicts.values()) == {"KEPT"}, report


@pytest.mark.covers("ENG-14")
def test_every_import_rule_detects_its_violation(copy):
    verdicts, report = run_linter(copy)
    assert [name for name in VIOLATIONS if verdicts.get(name) != "BROKEN"] == [], report
