"""A whole plane hibernates idle agents by itself, and wakes them for messages."""

import asyncio

import pytest
import sqlalchemy as sa

from deploy.plane import Plane
from services.chassis import database
from tests.databases import plane_database
from tests.e2e.conversation import create, get_answer_text, get_workspace, send, wait_for_answer, wait_until_online
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

MESSAGES = 30

AGE_WORK = """
    WITH aged AS (
        UPDATE registry.reported_work SET worked_at = worked_at - interval '2 minutes' WHERE workspace_id = :id
    )
    UPDATE registry.vitals SET worked_at = worked_at - interval '2 minutes', idle_look_at = now()
    WHERE workspace_id = :id
"""
"""Lets the last work of a workspace be longer ago, instead of waiting."""


async def let_time_pass(url, workspace_id):
    async with database.open_engine(url, role=None, pool=1) as engine, engine.begin() as connection:
        await connection.execute(sa.text(AGE_WORK), {"id": workspace_id})


async def has_status(plane, workspace_id, status):
    found = await get_workspace(plane, workspace_id)
    return found if found["status"] == status else None


@pytest.mark.covers("BEY-03", "BEY-04", "PROV-53")
async def test_an_idle_agent_hibernates_and_many_messages_wake_it_once(database_url):
    async with plane_database(database_url) as url, Plane(backend="process", database_url=url) as plane:
        await check_idleness(plane, url)


async def check_idleness(plane, url):
    workspace_id = await create(plane, "sleepy", hibernation_idle_minutes=1)
    other_id = await create(plane, "awake")
    await wait_until_online(plane, workspace_id, other_id)

    async def becomes_hibernated():
        await let_time_pass(url, workspace_id)
        return await has_status(plane, workspace_id, "hibernated")

    hibernated = await eventually(becomes_hibernated, within=60)
    answers = await asyncio.gather(*(send(plane, workspace_id, f"message {number}") for number in range(MESSAGES)))
    queued = [answer.json()["queue_id"] for answer in answers if answer.status_code == 202]
    direct = [get_answer_text(answer) for answer in answers if answer.status_code == 200]
    later = [get_answer_text(await wait_for_answer(plane, workspace_id, queue_id)) for queue_id in queued]
    events = (await plane.http.get(f"/events/{workspace_id}", headers=plane.admin)).json()
    starts = [one for one in events if one["event_type"] == "WORKSPACE_PROVISIONING"]

    assert hibernated["status_reason"] == "idle"
    assert sorted(direct + later) == sorted(f"message {number}" for number in range(MESSAGES))
    assert len(starts) == 2
    assert (await get_workspace(plane, other_id))["status"] == "online"
