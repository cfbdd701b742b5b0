"""The distribution molecule, installed into an environment without a checkout."""

import subprocess
from signal import SIGINT

import pytest

from tests.deploy.molecule_up import READY, MoleculeUp
from tests.distributions import build_wheel, install_wheels


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The `bin` of an environment with the wheels of the plane and of agents, and their dependencies."""
    folder = tmp_path_factory.mktemp("distribution")
    wheels = [build_wheel(name, folder) for name in ("molecule", "molecule-agent")]
    return install_wheels(folder / "environment", "molecule", *wheels)


async def test_molecule_up_starts_the_demo_team_from_an_empty_home(installed, home, port, database_url, tmp_path):
    environment = {"HOME": str(home), "PORT": str(port), "DATABASE_URL": database_url, "PATH": "/usr/bin:/bin"}
    up = MoleculeUp(tmp_path, environment, argv=(str(installed / "molecule"), "up"))
    try:
        await up.wait_for_output(READY, within=90)
        send = (installed / "molecule", "send", "lead", "hello")
        sent = subprocess.run(send, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)

        assert sent.stdout == "hello\n", sent.stderr
        assert (home / ".molecule" / "workspace-configs-templates" / "echo-agent" / "config.yaml").exists()
        up.process.send_signal(SIGINT)
        assert await up.wait_for_exit() == 0
    finally:
        up.process.kill()
        up.process.wait()
