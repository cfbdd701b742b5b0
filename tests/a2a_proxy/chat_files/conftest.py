"""Fixture: a client of the running proxy."""

from collections.abc import AsyncIterator

import pytest

from tests.a2a_proxy.chat_files.file_client import FileClient, open_file_client
from tests.a2a_proxy.running_proxy import RunningProxy


@pytest.fixture
async def files(proxy: RunningProxy) -> AsyncIterator[FileClient]:
    async with open_file_client(proxy) as client:
        yield client
