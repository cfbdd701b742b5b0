import asyncio

from gateway.reauthorisation import OpenConnections
from tests.waiting import eventually


async def is_check_requested(connection):
    try:
        async with asyncio.timeout(0.01):
            await connection.wait_for_request(timeout_seconds=float("inf"))
    except TimeoutError:
        return False
    return True


async def test_a_revocation_requests_checks_of_the_connections_that_watch_its_name():
    connections = OpenConnections()
    with connections.track() as one, connections.track() as other:
        one.watch_names([b"digest", "", "w"])
        other.watch_names(["v"])
        connections.request_checks("w")
        connections.request_checks("")

        assert await is_check_requested(one)
        assert not await is_check_requested(other)


async def test_a_cleared_request_is_gone_and_a_later_one_is_kept():
    connections = OpenConnections()
    with connections.track() as connection:
        connection.watch_names(["w"])
        connections.request_checks("w")
        connection.clear_request()
        assert not await is_check_requested(connection)
        connections.request_all_checks()
        assert await is_check_requested(connection)


async def test_a_wait_ends_at_its_timeout_without_a_request():
    connections = OpenConnections()
    loop = asyncio.get_running_loop()
    with connections.track() as connection:
        began = loop.time()
        await connection.wait_for_request(timeout_seconds=0.01)
        waited = loop.time() - began
        assert 0.009 <= waited < 5
        assert not connection._check_requested.is_set()

        began = loop.time()
        await connection.wait_for_request(timeout_seconds=-1)
        assert loop.time() - began < 5
        assert not connection._check_requested.is_set()


async def test_a_wait_without_a_timeout_ends_with_a_request_only():
    connections = OpenConnections()
    with connections.track() as connection:
        waiting = asyncio.ensure_future(connection.wait_for_request(timeout_seconds=float("inf")))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        connection.request_check()
        await asyncio.wait_for(waiting, 5)


async def test_a_connection_that_closed_is_forgotten_and_one_that_stays_is_kept():
    connections = OpenConnections()
    with connections.track() as one:
        with connections.track() as other:
            one.watch_names(["w"])
            other.watch_names(["w", "v"])
        connections.request_checks("w")

        assert connections._connections == {one}
        assert connections._by_name == {"w": {one}}
        assert await is_check_requested(one)
    connections.request_checks("w")

    assert await eventually(lambda: not connections._by_name and not connections._connections)
