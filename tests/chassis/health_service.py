"""A process that serves health only, and that tests stop: `python -m tests.chassis.health_service ADDRESS`."""

import asyncio
import sys

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


async def serve(address: str) -> None:
    """Serve until the process ends; prints a line once it serves."""
    servicer = health.aio.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    await server.start()
    print("serving", flush=True)  # noqa: T201 - the test waits for it
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
