from gateway.event_memory import EventMemory


def test_streams_share_the_memory_of_incomplete_events():
    memory = EventMemory(max_bytes=10)
    assert memory.replace(0, 6)
    assert not memory.replace(0, 5)
    assert memory.replace(5, 0)
    assert memory.replace(0, 4)
    assert memory.used_bytes == 10
