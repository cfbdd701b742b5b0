"""The official client speaks gRPC through a whole plane, by the card, to an agent that offers JSON-RPC only."""

import socket

import grpc
import httpx
import pytest
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import ClientCallContext
from a2a.server.routes import create_jsonrpc_routes
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotFoundError
from starlette.applications import Starlette

from tests.e2e.conversation import wait_until_online
from tests.http.conftest import run_server
from tests.molecule_a2a.rest.binding import build_handler
