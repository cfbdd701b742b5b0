"""What operators see of the loops."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from gateway.schemas.liveness import render_subsystems
from protos.common.v1 import liveness_pb2 as pb
from services.chassis.errors import Unavailable
from services.chassis.service import Loop
from tests.gateway.conftest import ADMIN_BEARER, run_gateway_under_test
from tests.rpc import serve

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def replica(**ticked):
    """One whose clock stands at 100 seconds; `None` for a loop that does not tick there."""
    return pb.GetLivenessResponse(
        now=100,
        loops=[
            pb.TickingLoop(name=name) if at is None else pb.TickingLoop(name=name, last_tick_at=NOON, ticked=at)
            for name, at in ticked.items()
        ],
    )


@pytest.mark.parametrize("order", [1, -1])
def test_a_loop_has_the_age_of_its_last_tick_on_any_replica(order):
    found = render_subsystems(
        [replica(missed_heartbeats=97.2), replica(missed_heartbeats=None), replica(missed_heartbeats=20.0)][::order]
    )

    assert found == {"missed_heartbeats": {"last_tick_at": "2026-05-01T12:00:00.000000Z", "seconds_ago": 2}}


def test_a_loop_without_a_tick_has_no_age():
    assert render_subsystems([replica(missed_heartbeats=None)]) == {
        "missed_heartbeats": {"last_tick_at": None, "seconds_ago": None}
    }


async def tick():
    """Nothing to do."""


async def wait():
    await asyncio.Event().wait()


@pytest.mark.parametrize(("bearer", "status"), [(ADMIN_BEARER, 200), ("another", 503)])
async def test_the_operator_reads_the_loops_of_answering_replicas_while_auth_is_down(tmp_path, bearer, status):
    loops = [Loop(name="ticking", run=tick, every=timedelta(milliseconds=1)), Loop(name="waiting", run=wait)]
    async with (
        serve([], loops) as proxy,
        run_gateway_under_test(
            admin_token=SecretStr(ADMIN_BEARER),
            a2a_proxy_targets=proxy,
            registry_targets=f"unix:{tmp_path}/nobody.sock",
        ) as plane,
    ):
        plane.auth.refusal = Unavailable()
        answer = await plane.http.get("/admin/liveness", headers={"Authorization": f"Bearer {bearer}"}, timeout=30)

    assert answer.status_code == status
    if status == 200:
        [(name, seen)] = answer.json()["subsystems"].items()
        assert (name, seen["seconds_ago"]) == ("ticking", 0)
        assert abs(datetime.fromisoformat(seen["last_tick_at"]) - datetime.now(UTC)) < timedelta(seconds=30)
