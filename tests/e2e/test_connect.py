"""`molecule connect`: an agent that nothing can reach answers each message once, whatever dies in between."""

import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.connected_agent import agent_directory, open_network
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200), pytest.mark.asyncio(loop_scope="module")]

MESSAGES = 20


@pytest_asyncio.fixture(loop_scope="module")
async def agent(empty_plane, tmp_path, request):
    name = request.node.name[-40:]
    async with agent_directory(empty_plane, tmp_path, name) as agent:
        yield agent


def has_run(agent, text):
    return lambda: text in agent.list_runs()


@pytest.mark.covers("AGT-10", "BEY-11")
async def test_an_agent_without_a_listening_port_answers_20_messages(agent):
    await agent.connect("--adapter", "recording_adapter")

    sent = [await agent.send(f"message {number}") for number in range(MESSAGES)]
    answers = [await agent.wait_for_answer(queue_id) for queue_id in sent]

    assert answers == [f"MESSAGE {number}" for number in range(MESSAGES)]
    assert sorted(agent.list_runs()) == sorted(f"message {number}" for number in range(MESSAGES))
    account = await agent.read_account()
    assert (account["accepted"], account["completed"], account["balanced"]) == (MESSAGES, MESSAGES, True)
    assert [one for one in agent.process.net_connections(kind="inet") if one.status == "LISTEN"] == []
    assert await agent.stop() == 0


@pytest.mark.covers("AGT-10", "BEY-11")
async def test_a_message_that_was_interrupted_by_a_kill_runs_once_if_it_must_not_run_again(agent):
    await agent.connect("--adapter", "once_adapter")
    interrupted, later = await agent.send("wait"), await agent.send("later")
    await eventually(has_run(agent, "wait"))

    await agent.kill()
    await agent.start("--adapter", "once_adapter")

    assert await agent.wait_for_answer(interrupted) == (
        "the agent stopped while it worked on this message, and must not start it again"
    )
    assert await agent.wait_for_answer(later) == "LATER"
    assert agent.list_runs() == ["wait", "later"]
    account = await agent.read_account()
    assert (account["accepted"], account["completed"], account["balanced"]) == (2, 2, True)


@pytest.mark.covers("AGT-10", "BEY-11")
async def test_a_message_that_was_interrupted_by_a_kill_runs_again_if_it_may(agent):
    await agent.connect("--adapter", "recording_adapter")
    interrupted = await agent.send("wait")
    await eventually(has_run(agent, "wait"))

    await agent.kill()
    agent.let_go()
    await agent.start("--adapter", "recording_adapter")

    assert await agent.wait_for_answer(interrupted) == "WAIT"
    assert agent.list_runs() == ["wait", "wait"]


@pytest.mark.covers("AGT-10", "BEY-11")
async def test_an_answer_that_the_network_held_back_is_sent_after_a_kill_without_another_run(empty_plane, tmp_path):
    async with (
        open_network(empty_plane) as network,
        agent_directory(empty_plane, tmp_path, "cut off", url=network.url) as agent,
    ):
        await agent.connect("--adapter", "once_adapter")
        held_back = await agent.send("wait")
        await eventually(has_run(agent, "wait"))
        await network.cut()
        agent.let_go()
        await eventually(lambda: "the inbox cannot be used" in agent.read_log())
        waiting = [await agent.send(f"message {number}") for number in range(3)]

        await agent.kill()
        await network.restore()
        await agent.start("--adapter", "once_adapter")

        assert await agent.wait_for_answer(held_back) == "WAIT"
        assert [await agent.wait_for_answer(one) for one in waiting] == [f"MESSAGE {number}" for number in range(3)]
        assert agent.list_runs() == ["wait", "message 0", "message 1", "message 2"]
        account = await agent.read_account()
        assert (account["accepted"], account["completed"], account["balanced"]) == (4, 4, True)


@pytest.mark.covers("AGT-10", "BEY-11")
async def test_work_goes_on_while_the_network_is_cut_for_longer_than_the_lease(empty_plane, tmp_path):
    async with (
        open_network(empty_plane) as network,
        agent_directory(empty_plane, tmp_path, "slow work", url=network.url) as agent,
    ):
        await agent.connect("--adapter", "once_adapter", HEARTBEAT_SECONDS="1")
        lasting = await agent.send("wait")
        await eventually(has_run(agent, "wait"))
        await network.cut()

        async def is_offered_again():
            return (await agent.read_message(lasting))["status"] == "queued"

        await eventually(is_offered_again, within=60)
        await network.restore()
        agent.let_go()

        assert await agent.wait_for_answer(lasting) == "WAIT"
        assert await agent.wait_for_answer(await agent.send("next")) == "NEXT"
        assert agent.list_runs() == ["wait", "next"]
        account = await agent.read_account()
        assert (account["accepted"], account["completed"], account["balanced"]) == (2, 2, True)


@pytest.mark.covers("AGT-14")
@pytest.mark.parametrize(
    ("options", "mode"), [((), "poll"), (("--mode", "poll"), "poll"), (("--mode", "push"), "push")]
)
async def test_the_mode_of_the_option_is_stored_and_without_it_none_is_sent(empty_plane, tmp_path, options, mode):
    async with agent_directory(empty_plane, tmp_path, f"mode {' '.join(options)}".strip()) as agent:
        await agent.connect(*options)

        stored = await agent.wait_until("online")
        ports = [one for one in agent.process.net_connections(kind="inet") if one.status == "LISTEN"]
        assert (stored["delivery_mode"], len(ports)) == (mode, int(mode == "push"))

        await agent.stop()
        await agent.start()
        again = await agent.wait_until("online")
        assert again["delivery_mode"] == mode


@pytest.mark.covers("AGT-10", "BEY-11")
async def test_nothing_is_lost_or_run_twice_when_the_plane_is_killed_and_the_agent_away(database_url, tmp_path):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, processes=True, env={"REMOTE_LIVENESS_STALE_AFTER": "3"}) as plane,
        open_network(plane) as network,
        agent_directory(plane, tmp_path, "survivor", url=network.url) as agent,
    ):
        await agent.connect("--adapter", "once_adapter", HEARTBEAT_SECONDS="1")
        sent = [await agent.send("wait")]
        await eventually(has_run(agent, "wait"))
        sent += [await agent.send(f"message {number}") for number in range(5)]
        for name in ("a2a_proxy", "gateway", "registry", "auth"):
            plane.kill(name)
        agent.let_go()

        answers = [await agent.wait_for_answer(one) for one in sent]

        assert answers == ["WAIT", *(f"MESSAGE {number}" for number in range(5))]

        await network.cut()
        await agent.wait_until("awaiting_agent")
        late = await agent.send("late")
        await network.restore()

        await agent.wait_until("online")
        assert await agent.wait_for_answer(late) == "LATE"
        assert agent.list_runs() == ["wait", *(f"message {number}" for number in range(5)), "late"]
        account = await agent.read_account()
        assert (account["accepted"], account["completed"], account["balanced"]) == (7, 7, True)
