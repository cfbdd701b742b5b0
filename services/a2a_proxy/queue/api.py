"""The servicers of the queue and of the inbox."""

from protos.a2a_proxy.v1 import inbox_pb2, inbox_pb2_grpc, queue_pb2, queue_pb2_grpc
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue import wire
from services.a2a_proxy.queue.inbox import Inbox
from services.a2a_proxy.queue.monitor import QueueMonitor
from services.a2a_proxy.queue.operations import QueueOperations
from services.chassis import identity, pages
from services.chassis.rpc import Context

DEFAULT_PAGE_SIZE = 100

MAX_PAGE_SIZE = 500

DEFAULT_LEASED_MESSAGES = 10

MAX_LEASED_MESSAGES = 100


class QueueServicer(queue_pb2_grpc.QueueServiceServicer):
    """One method for each RPC on queued messages."""

    def __init__(self, operations: QueueOperations, monitor: QueueMonitor) -> None:
        self._operations = operations
        self._monitor = monitor

    async def GetQueuedMessage(
        self, request: queue_pb2.GetQueuedMessageRequest, context: Context
    ) -> queue_pb2.GetQueuedMessageResponse:
        target = WorkspaceId(request.workspace_id) if request.workspace_id else None
        message = await self._operations.get(identity.current(), wire.parse_message_id(request.id), target=target)
        return queue_pb2.GetQueuedMessageResponse(message=wire.message_to_proto(message, with_bodies=True))

    async def ListQueuedMessages(
        self, request: queue_pb2.ListQueuedMessagesRequest, context: Context
    ) -> queue_pb2.ListQueuedMessagesResponse:
        page = await self._operations.list_messages(
            identity.current(),
            target=WorkspaceId(request.workspace_id) if request.workspace_id else None,
            states=wire.parse_states(request.states),
            before=wire.parse_before(request.page_token),
            limit=pages.choose_page_size(request.page_size, default=DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE),
        )
        return queue_pb2.ListQueuedMessagesResponse(
            messages=[wire.message_to_proto(message) for message in page.messages],
            next_page_token="" if page.next_before is None else pages.encode_page_token([str(page.next_before)]),
        )

    async def ListQueueAccounts(
        self, request: queue_pb2.ListQueueAccountsRequest, context: Context
    ) -> queue_pb2.ListQueueAccountsResponse:
        target = WorkspaceId(request.workspace_id) if request.workspace_id else None
        accounts = await self._operations.list_accounts(identity.current(), target)
        return queue_pb2.ListQueueAccountsResponse(accounts=[wire.account_to_proto(account) for account in accounts])

    async def CountQueuedMessages(
        self, request: queue_pb2.CountQueuedMessagesRequest, context: Context
    ) -> queue_pb2.CountQueuedMessagesResponse:
        return wire.totals_to_proto(await self._monitor.read_totals())

    async def RequeueMessage(
        self, request: queue_pb2.RequeueMessageRequest, context: Context
    ) -> queue_pb2.RequeueMessageResponse:
        message = await self._operations.requeue(identity.current(), wire.parse_message_id(request.id))
        return queue_pb2.RequeueMessageResponse(message=wire.message_to_proto(message))

    async def ResolveMessage(
        self, request: queue_pb2.ResolveMessageRequest, context: Context
    ) -> queue_pb2.ResolveMessageResponse:
        note = wire.parse_note(request.note)
        message = await self._operations.resolve(identity.current(), wire.parse_message_id(request.id), note)
        return queue_pb2.ResolveMessageResponse(message=wire.message_to_proto(message))

    async def DropMessage(
        self, request: queue_pb2.DropMessageRequest, context: Context
    ) -> queue_pb2.DropMessageResponse:
        note = wire.parse_note(request.note)
        message = await self._operations.drop(identity.current(), wire.parse_message_id(request.id), note)
        return queue_pb2.DropMessageResponse(message=wire.message_to_proto(message))

    async def DropStaleMessages(
        self, request: queue_pb2.DropStaleMessagesRequest, context: Context
    ) -> queue_pb2.DropStaleMessagesResponse:
        target = WorkspaceId(request.workspace_id) if request.workspace_id else None
        dropped = await self._operations.drop_stale(identity.current(), age=wire.parse_age(request.age), target=target)
        return queue_pb2.DropStaleMessagesResponse(dropped=dropped)


class InboxServicer(inbox_pb2_grpc.InboxServiceServicer):
    """One method for each RPC on the inbox of an agent."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def LeaseMessages(
        self, request: inbox_pb2.LeaseMessagesRequest, context: Context
    ) -> inbox_pb2.LeaseMessagesResponse:
        leased = await self._inbox.lease(
            WorkspaceId(request.workspace_id),
            limit=pages.choose_page_size(
                request.max_messages, default=DEFAULT_LEASED_MESSAGES, maximum=MAX_LEASED_MESSAGES
            ),
            wait=wire.parse_wait(request.wait),
            lease=wire.parse_lease(request.lease if request.HasField("lease") else None),
        )
        return inbox_pb2.LeaseMessagesResponse(messages=[wire.inbox_message_to_proto(message) for message in leased])

    async def AcknowledgeMessage(
        self, request: inbox_pb2.AcknowledgeMessageRequest, context: Context
    ) -> inbox_pb2.AcknowledgeMessageResponse:
        await self._inbox.acknowledge(
            WorkspaceId(request.workspace_id),
            wire.parse_message_id(request.message_id),
            request.receipt,
            result=request.result if request.HasField("result") else None,
            error=request.error if request.HasField("error") else None,
        )
        return inbox_pb2.AcknowledgeMessageResponse()

    async def ReturnMessage(
        self, request: inbox_pb2.ReturnMessageRequest, context: Context
    ) -> inbox_pb2.ReturnMessageResponse:
        await self._inbox.give_back(
            WorkspaceId(request.workspace_id),
            wire.parse_message_id(request.message_id),
            request.receipt,
            delay=wire.parse_delay(request.delay),
            reason=wire.parse_note(request.reason),
        )
        return inbox_pb2.ReturnMessageResponse()

    async def ExtendLease(
        self, request: inbox_pb2.ExtendLeaseRequest, context: Context
    ) -> inbox_pb2.ExtendLeaseResponse:
        message = await self._inbox.extend(
            WorkspaceId(request.workspace_id),
            wire.parse_message_id(request.message_id),
            request.receipt,
            lease=wire.parse_lease(request.lease if request.HasField("lease") else None),
        )
        return inbox_pb2.ExtendLeaseResponse(lease_expires_at=wire.inbox_message_to_proto(message).lease_expires_at)
