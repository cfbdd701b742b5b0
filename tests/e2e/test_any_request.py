"""Requests generated from the OpenAPI document: the plane answers each with a documented status."""

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

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e import route_matrix
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

EXAMPLES = 8
"""Requests to each route with each bearer: few, because there are many routes. Every run sends the same ones."""

GENERATED = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)

IDS = ("id", "workspaceId", "workspace_id")
"""The names of parameters that hold the id of a workspace."""


class Fuzzer:
    """Sends generated requests and records undocumented answers."""

    def __init__(self, http: httpx.Client, target: str) -> None:
        self._http = http
        self._target = target
        self._numbers = count()
        self.body_for = 0
        self.faults: list[str] = []

    def operation(self, operation: Any, bearer: str) -> None:
        """Send generated requests to one route with one bearer."""
        documented = set(operation.definition.raw["responses"])

        @GENERATED
        @hypothesis.given(operation.as_strategy())
        def send_case(case: Any) -> None:
            status, body = self._status(case, bearer)
            if status == 500 or not {str(status), "default"} & documented:
                self.faults.append(f"{case.method} {case.formatted_path} {case.body!r:.300}: {status} {body:.300}")

        send_case()

    def _status(self, case: Any, bearer: str) -> tuple[int, str]:
        if next(self._numbers) % 2:
            self._use_target(case)
        self.body_for += 1
        with self._http.stream(**_request(case, bearer)) as response:
            body = response.read().decode(errors="replace") if response.status_code >= 400 else ""
            return response.status_code, body

    def _use_target(self, case: Any) -> None:
        """Replace the ids in a request by that of an existing workspace."""
        for place in (case.path_parameters, case.body):
            if isinstance(place, dict):
                place.update({name: self._target for name in IDS if name in place})


def _request(case: Any, bearer: str) -> dict[str, Any]:
    body_for = case.as_transport_kwargs(base_url="http://plane")
    headers = {name: value for name, value in dict(body_for["headers"] or {}).items() if _can_be_sent(value)}
    headers["Authorization"] = f"Bearer {bearer}"
    body = {"json": body_for["json"]} if "json" in body_for else {"content": body_for.get("data") or None}
    path = body_for["url"].removeprefix("http://plane")
    return {"method": case.method, "url": path, "headers": headers, "params": body_for.get("params"), **body}


def _can_be_sent(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value.isascii()


@contextmanager
def open_fuzzer(plane: Plane, target: str) -> Iterator[Fuzzer]:
    with httpx.Client(base_url=plane.url, trust_env=False, timeout=30) as http:
        yield Fuzzer(http, target)


@pytest.mark.covers("GW-05")
async def test_every_generated_request_is_answered_as_documented(database_url, tmp_path):
    folders = {"CONFIGS_DIR": str(tmp_path / "templates"), "ORG_TEMPLATES_DIR": str(tmp_path / "orgs")}
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env={**PRODUCTION, **folders}) as plane,
    ):
        target, own = await external(plane, "target")
        await external(plane, "child", parent_id=target)
        document = (await plane.http.get("/openapi.json")).json()
        admin = plane.admin["Authorization"].removeprefix("Bearer ")
        gates = {route.name: route.gate for route in route_matrix.load_routes()}

        def send_all() -> Fuzzer:
            with open_fuzzer(plane, target) as fuzzer:
                for operation in schemathesis.openapi.from_dict(document).get_all_operations():
                    route = operation.ok()
                    gate = gates[f"{route.method.upper()} {route.path}"]
                    fuzzer.operation(route, admin if {"admin", route_matrix.EVERYBODY} & set(gate.passes) else own)
                    fuzzer.operation(route, "nobody-has-this-bearer")
                return fuzzer

        fuzzer = await asyncio.to_thread(send_all)

    print(f"{fuzzer.body_for} requests made up")  # noqa: T201 - a result for the log of the suite
    assert fuzzer.faults == []
