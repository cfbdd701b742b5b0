"""Rewrites the extended cards in replies of the A2A proxy, for every binding."""

from collections.abc import Callable

from starlette.types import Scope

from gateway import extended_card
from gateway.agent_cards import GrpcAddress
from gateway.extended_card import Reply, Sign
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb


class CardRewriter:
    """Puts the address, security and signatures of the plane into extended cards."""

    def __init__(
        self, *, base_url: Callable[[Scope], str], bearer_needed: bool, sign: Sign | None, grpc_url: str = ""
    ) -> None:
        """`base_url` returns the public address of the plane; `grpc_url` is that of its gRPC binding, if it has one."""
        self._base_url = base_url
        self._bearer_needed = bearer_needed
        self._sign = sign
        self._grpc_url = grpc_url

    def rewrite(
        self, scope: Scope, workspace_id: str, message: bytes, head: pb.ReplyHead, *, version: str
    ) -> pb.ReplyHead:
        """Return the reply to a JSON-RPC message; it is unchanged unless the message asked for a card.

        `version` is the A2A-Version of the caller. The stream of an agent that is asked for its card becomes an error.
        """
        if not extended_card.may_hold_card(message):
            return head
        rewritten = extended_card.rewrite_reply(
            message,
            Reply(status=head.status, headers=dict(head.headers), body=head.body if head.complete else None),
            version=version,
            url=f"{self._base_url(scope)}/workspaces/{workspace_id}/a2a",
            bearer_needed=self._bearer_needed,
            sign=self._sign,
            grpc=GrpcAddress(self._grpc_url, workspace_id) if self._grpc_url else None,
        )
        return pb.ReplyHead(
            status=rewritten.status,
            headers=rewritten.headers,
            complete=True,
            body=rewritten.body or b"",
            agent_micros=head.agent_micros,
            queue_micros=head.queue_micros,
        )
