"""Requests that a machine makes up from the contract: none breaks the plane, and each is answered as documented."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import Phase

from deploy.plane import Plane, fresh_database
from tests.e2e import route_matrix
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

EXAMPLES = 8
"""Requests to each route with each bearer: few, for there are many routes, and always the same ones."""

MADE_UP = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)

IDS = ("id", "workspaceId", "workspace_id")
"""What a request calls the workspace that it is about."""


class Fuzz:
    """Sends what is made up, and keeps what was wrong with the answers."""

    def __init__(self, http: httpx.Client, target: str) -> None:
        self._http = http
        self._target = target
        self._turns = count()
        self.sent = 0
        self.wrong: list[str] = []

    def operation(self, operation: Any, bearer: str) -> None:
        """Try one route with one bearer."""
        documented = set(operation.definition.raw["responses"])

        @MADE_UP
        @hypothesis.given(operation.as_strategy())
        def one(case: Any) -> None:
            status, body = self._status(case, bearer)
            if status == 500 or not {str(status), "default"} & documented:
                self.wrong.append(f"{case.method} {case.formatted_path} {case.body!r:.300}: {status} {body:.300}")

        one()

    def _status(self, case: Any, bearer: str) -> tuple[int, str]:
        if next(self._turns) % 2:
            self._aim(case)
        self.sent += 1
        with self._http.stream(**_request(case, bearer)) as response:
            body = response.read().decode(errors="replace") if response.status_code >= 400 else ""
            return response.status_code, body

    def _aim(self, case: Any) -> None:
        """Make it about a workspace that is there."""
        for place in (case.path_parameters, case.body):
            if isinstance(place, dict):
                place.update({name: self._target for name in IDS if name in place})


def _request(case: Any, bearer: str) -> dict[str, Any]:
    sent = case.as_transport_kwargs(base_url="http://plane")
    headers = {name: value for name, value in dict(sent["headers"] or {}).items() if _can_be_sent(value)}
    headers["Authorization"] = f"Bearer {bearer}"
    body = {"json": sent["json"]} if "json" in sent else {"content": sent.get("data") or None}
    path = sent["url"].removeprefix("http://plane")
    return {"method": case.method, "url": path, "headers": headers, "params": sent.get("params"), **body}


def _can_be_sent(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value.isascii()


@contextmanager
def fuzzing(plane: Plane, target: str) -> Iterator[Fuzz]:
    with httpx.Client(base_url=plane.url, trust_env=False, timeout=30) as http:
        yield Fuzz(http, target)


@pytest.mark.covers("GW-05")
async def test_whatever_is_asked_is_answered_as_documented(database_url, tmp_path):
    folders = {"CONFIGS_DIR": str(tmp_path / "templates"), "ORG_TEMPLATES_DIR": str(tmp_path / "orgs")}
    async with (
        fresh_database(database_url) as url,
        Plane(backend="none", database_url=url, env={**PRODUCTION, **folders}) as plane,
    ):
        target, own = await external(plane, "target")
        await external(plane, "child", parent_id=target)
        document = (await plane.http.get("/openapi.json")).json()
        admin = plane.admin["Authorization"].removeprefix("Bearer ")
        gates = {door.name: door.gate for door in route_matrix.read()}

        def made_up() -> Fuzz:
            with fuzzing(plane, target) as fuzz:
                for operation in schemathesis.openapi.from_dict(document).get_all_operations():
                    route = operation.ok()
                    gate = gates[f"{route.method.upper()} {route.path}"]
                    fuzz.operation(route, admin if {"admin", route_matrix.EVERYBODY} & set(gate.passes) else own)
                    fuzz.operation(route, "nobody-has-this-bearer")
                return fuzz

        fuzz = await asyncio.to_thread(made_up)

    print(f"{fuzz.sent} requests made up")  # noqa: T201 - the suite says what it did
    assert fuzz.wrong == []
