import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.calls import Registry
from services.a2a_proxy.model import Status
from services.a2a_proxy.routebook import Routebook
from services.chassis.errors import Unavailable
from tests.a2a_proxy.neighbours import Book
from tests.rpc import running
from tests.waiting import eventually


@asynccontextmanager
async def following(book: Book, *, silence: float = 8.0, heard=lambda _: None) -> AsyncIterator[Routebook]:
    async with running([book.servicer()], speaker="a2a_proxy") as line:
        routebook = Routebook(Registry(line), heard=heard, silence=silence)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(routebook.follow())
            await eventually(routebook.live)
            yield routebook
            task.cancel()


@pytest.fixture
def book() -> Book:
    book = Book()
    book.write("a")
    book.write("b")
    return book


async def test_what_the_feed_told_is_not_asked_for(book):
    async with following(book) as routebook:
        await eventually(lambda: book._watchers)

        found = await routebook.find("a", None)

        assert found.route.workspace_id == "a"
        assert book.asked == []


async def test_a_change_replaces_the_route(book):
    async with following(book) as routebook:
        book.write("a", address="http://new/", monthly_spend=7)

        await eventually(lambda: routebook._routes["a"].address == "http://new/")
        assert (await routebook.find("a", None)).route.monthly_spend == 7


async def test_a_permission_is_asked_for_once(book):
    async with following(book) as routebook:
        await eventually(lambda: "b" in routebook._routes)

        assert (await routebook.find("b", "a")).allowed
        assert (await routebook.find("b", "a")).allowed

        assert book.asked == [("b", "a")]


async def test_a_workspace_may_write_to_itself_without_asking(book):
    async with following(book) as routebook:
        await eventually(lambda: "a" in routebook._routes)

        assert (await routebook.find("a", "a")).allowed
        assert book.asked == []


async def test_permissions_are_asked_for_anew_when_the_tree_changes(book):
    async with following(book) as routebook:
        await eventually(lambda: "b" in routebook._routes)
        await routebook.find("b", "a")

        book.denied.add(("a", "b"))
        book.write("b", parent_id="c")
        await eventually(lambda: routebook._routes["b"].parent_id == "c")

        assert not (await routebook.find("b", "a")).allowed


async def test_an_answer_that_a_change_of_the_tree_overtook_is_not_remembered(book):
    async with following(book) as routebook:
        await eventually(lambda: "b" in routebook._routes)
        book.answering.clear()
        asking = asyncio.ensure_future(routebook.find("b", "a"))
        await eventually(lambda: book.asked)
        book.write("a", parent_id="c")
        await eventually(lambda: routebook._routes["a"].parent_id)

        book.answering.set()
        await asking

        assert routebook._allowed == {}


async def test_unknown_workspaces_are_asked_for_every_time(book):
    async with following(book) as routebook:
        for _ in range(2):
            found = await routebook.find("nobody", None)
            assert (found.route, found.allowed) == (None, True)
            assert not (await routebook.find("nobody", "a")).allowed

        assert len(book.asked) == 4


async def test_a_removed_workspace_is_forgotten_and_asked_for(book):
    async with following(book) as routebook:
        await eventually(lambda: "a" in routebook._routes)
        book.write("a", status=pb.WORKSPACE_STATUS_REMOVED)
        await eventually(lambda: "a" not in routebook._routes)

        assert (await routebook.find("a", None)).route.status is Status.REMOVED


@pytest.mark.covers("BEY-05")
async def test_a_silent_feed_is_not_believed_and_without_an_answer_nothing_is_sent(book):
    async with following(book, silence=0.2) as routebook:
        book.away = True
        book.tell(None)
        await eventually(lambda: not routebook.live())

        with pytest.raises(Unavailable):
            await routebook.find("a", None)


async def test_a_feed_that_was_away_for_long_is_read_from_the_beginning(book):
    async with following(book, silence=0.2) as routebook:
        await eventually(lambda: routebook._revision == 2)
        await eventually(lambda: len(book.watched_after) > 1)

        assert set(book.watched_after) == {0}


async def test_a_feed_that_broke_is_read_on_from_where_it_was(book):
    async with following(book) as routebook:
        await eventually(lambda: routebook._revision == 2)

        book.tell(None)
        await eventually(lambda: len(book.watched_after) == 2)

        assert book.watched_after == [0, 2]


async def test_signs_of_life_are_passed_on(book):
    heard = []
    async with following(book, heard=heard.append) as routebook:
        await eventually(lambda: routebook._revision == 2)
        heard.clear()

        book.pulse("b")
        book.write("a")

        await eventually(lambda: heard == ["b", "a"])
