"""The servicer of instructions: translates between protobuf and the service."""

from protos.registry.v1 import instructions_pb2 as pb
from protos.registry.v1 import instructions_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.rpc import Context
from services.registry.notes.instructions import wire
from services.registry.notes.instructions.service import Instructions
from services.registry.workspace.model import WorkspaceId


class InstructionServicer(rpc.InstructionServiceServicer):
    """One method for each RPC on instructions."""

    def __init__(self, instructions: Instructions) -> None:
        self._instructions = instructions

    async def ListInstructions(
        self, request: pb.ListInstructionsRequest, context: Context
    ) -> pb.ListInstructionsResponse:
        page = await self._instructions.list(
            identity.current(),
            scope=request.scope,
            target=request.workspace_id,
            size=pages.choose_page_size(request.page_size, default=100, maximum=500),
            token=request.page_token,
        )
        return pb.ListInstructionsResponse(
            instructions=[wire.instruction_to_proto(one) for one in page.instructions],
            next_page_token=page.next_page_token,
        )

    async def CreateInstruction(
        self, request: pb.CreateInstructionRequest, context: Context
    ) -> pb.CreateInstructionResponse:
        created = await self._instructions.create(
            identity.current(), request.request_id, wire.draft_from_request(request)
        )
        return pb.CreateInstructionResponse(instruction=wire.instruction_to_proto(created))

    async def UpdateInstruction(
        self, request: pb.UpdateInstructionRequest, context: Context
    ) -> pb.UpdateInstructionResponse:
        changes = wire.changes_from_request(request)
        changed = await self._instructions.update(identity.current(), request.instruction_id, changes)
        return pb.UpdateInstructionResponse(instruction=wire.instruction_to_proto(changed))

    async def DeleteInstruction(
        self, request: pb.DeleteInstructionRequest, context: Context
    ) -> pb.DeleteInstructionResponse:
        await self._instructions.delete(identity.current(), request.instruction_id)
        return pb.DeleteInstructionResponse()

    async def ResolveInstructions(
        self, request: pb.ResolveInstructionsRequest, context: Context
    ) -> pb.ResolveInstructionsResponse:
        text = await self._instructions.resolve(identity.current(), WorkspaceId(request.workspace_id))
        return pb.ResolveInstructionsResponse(instructions=text)
