"""Creates and connects the parts that record and replay streams."""

from dataclasses import dataclass
from datetime import timedelta

from services.a2a_proxy.clients import ProvisionerClient
from services.a2a_proxy.streams.recorder import StreamRecorder
from services.a2a_proxy.streams.retention import StreamRetention
from services.a2a_proxy.streams.service import Streams
from services.a2a_proxy.streams.store import StreamStore
from services.a2a_proxy.streams.watching import StreamWatch
from services.a2a_proxy.streams.writer import StreamWriter
from services.a2a_proxy.tasks.access import TaskAccess
from services.chassis.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamParts:
    """The parts that record and replay streams."""

    store: StreamStore
    watch: StreamWatch
    writer: StreamWriter
    recorder: StreamRecorder
    retention: StreamRetention

    def build_service(self, access: TaskAccess) -> Streams:
        """Return what deliveries use of them."""
        return Streams(store=self.store, watch=self.watch, recorder=self.recorder, access=access)


def build_stream_parts(
    store: StreamStore,
    provisioner: ProvisionerClient,
    clock: Clock,
    *,
    writer_id: str,
    retention: timedelta,
    max_bytes: int,
) -> StreamParts:
    """Create the parts of one replica."""
    watch, writer = StreamWatch(store), StreamWriter(store, writer_id=writer_id)
    return StreamParts(
        store=store,
        watch=watch,
        writer=writer,
        recorder=StreamRecorder(writer, watch, provisioner=provisioner, clock=clock),
        retention=StreamRetention(store, age=retention, max_bytes=max_bytes),
    )
