"""Routes of instructions for agents."""

import uuid
from collections.abc import AsyncIterator

from google.protobuf.field_mask_pb2 import FieldMask

from gateway.errors import MalformedRequest
from gateway.guards import ADMIN, READ
from gateway.request_body import BodySpec
from gateway.route import Call, Route
from gateway.schemas.instructions import (
    ChangeResult,
    CreatedInstruction,
    Instruction,
    InstructionChanges,
    NewInstruction,
    ResolvedInstructions,
    render_instruction,
)
from protos.registry.v1 import instructions_pb2 as pb
from protos.registry.v1 import instructions_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

PAGE_SIZE = 500


class InstructionRoutes:
    """Routes to the registry, which keeps instructions."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.InstructionServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes. The registry decides which callers may write global instructions."""
        return [
            Route(
                method="GET",
                path="/instructions",
                handler=self.list_instructions,
                summary="Instructions, those for all workspaces first",
                guard=ADMIN,
                query={"scope": "`global` or `workspace`", "workspace_id": "Only those for this workspace"},
                answer=list[Instruction],
                refusal_statuses=frozenset({400}),
            ),
            Route(
                method="POST",
                path="/instructions",
                handler=self.create,
                summary="Tell all agents something, or one",
                guard=ADMIN,
                body=BodySpec(model=NewInstruction),
                success=201,
                answer=CreatedInstruction,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
            Route(
                method="PUT",
                path="/instructions/{instructionId}",
                handler=self.change,
                summary="Change an instruction",
                guard=ADMIN,
                body=BodySpec(model=InstructionChanges),
                answer=ChangeResult,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="DELETE",
                path="/instructions/{instructionId}",
                handler=self.delete,
                summary="Delete an instruction",
                guard=ADMIN,
                answer=ChangeResult,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/instructions/resolve",
                handler=self.resolve,
                summary="What an agent is told, as one text",
                guard=READ,
                answer=ResolvedInstructions,
                refusal_statuses=frozenset({404}),
            ),
        ]

    async def list_instructions(self, call: Call) -> object:
        """List the instructions that match the query."""
        return [render_instruction(message) async for message in self._pages(call)]

    async def create(self, call: Call) -> object:
        """Create an instruction."""
        request = pb.CreateInstructionRequest(
            request_id=str(uuid.uuid4()),
            scope=call.body.scope,
            scope_target=(call.body.scope_target or "").lower(),
            title=call.body.title,
            content=call.body.content,
            priority=call.body.priority,
        )
        reply: pb.CreateInstructionResponse = await self._registry.call(
            self._stub.CreateInstruction, request, on_behalf_of=call.identity
        )
        return CreatedInstruction(id=reply.instruction.id)

    async def change(self, call: Call) -> object:
        """Change the fields that the body names."""
        fields = sorted(call.body.model_fields_set)
        if not fields:
            raise MalformedRequest
        request = pb.UpdateInstructionRequest(
            instruction_id=call.path["instructionId"],
            instruction=pb.Instruction(**{name: getattr(call.body, name) for name in fields}),
            update_mask=FieldMask(paths=fields),
        )
        await self._registry.call(self._stub.UpdateInstruction, request, on_behalf_of=call.identity)
        return ChangeResult(status="updated")

    async def delete(self, call: Call) -> object:
        """Delete an instruction."""
        request = pb.DeleteInstructionRequest(instruction_id=call.path["instructionId"])
        await self._registry.call(self._stub.DeleteInstruction, request, on_behalf_of=call.identity)
        return ChangeResult(status="deleted")

    async def resolve(self, call: Call) -> object:
        """Return the instructions of an agent as one text."""
        request = pb.ResolveInstructionsRequest(workspace_id=call.workspace_id)
        reply: pb.ResolveInstructionsResponse = await self._registry.call(
            self._stub.ResolveInstructions, request, on_behalf_of=call.identity
        )
        return ResolvedInstructions(workspace_id=call.workspace_id, instructions=reply.instructions)

    async def _pages(self, call: Call) -> AsyncIterator[pb.Instruction]:
        token = ""
        while True:
            request = pb.ListInstructionsRequest(
                scope=call.query.get("scope", ""),
                workspace_id=call.query.get("workspace_id", "").lower(),
                page_size=PAGE_SIZE,
                page_token=token,
            )
            reply: pb.ListInstructionsResponse = await self._registry.call(
                self._stub.ListInstructions, request, on_behalf_of=call.identity
            )
            for message in reply.instructions:
                yield message
            token = reply.next_page_token
            if not token:
                return
