"""A command that destroys asks in a terminal, and only there."""

import os
import pty
import subprocess
import sys

import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.molecule_cli.own_process import ROOT
from tests.molecule_cli.plane_app import FakePlane, serve


class DeletingPlane(FakePlane):
    """Counts what is deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted: list[dict] = []

    def app(self):
        app = super().app()

        async def delete(request):
            self.deleted.append(dict(request.query_params))
            return JSONResponse({"status": "removed", "cascade_deleted": 1})

        app.routes[:0] = [Route("/workspaces/{id}", delete, methods=["DELETE"])]
        return app


@pytest.mark.covers("TTY-16")
@pytest.mark.parametrize(("typed", "deleted"), [(b"y\n", [{"confirm": "true"}]), (b"n\n", [])], ids=["yes", "no"])
def test_the_question_names_what_is_deleted_and_yes_includes_those_below(typed, deleted):
    plane = DeletingPlane()
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        with serve(plane) as url:
            done = subprocess.run(
                [sys.executable, "-m", "molecule_cli", "ws", "delete", "lead"],
                cwd=ROOT,
                env={"PATH": os.defpath, "MOLECULE_URL": url},
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=theirs,
                check=False,
            )
        shown = os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(theirs)

    assert "Delete lead and 1 workspace below for good? [y/N]" in shown
    assert (plane.deleted, done.returncode) == (deleted, 0 if deleted else 1)
    assert deleted or "nothing was changed" in shown
