"""Protobuf and back, for secrets."""

from datetime import datetime
from typing import assert_never

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import vault_pb2 as pb
from services.auth.model import (
    EnvironmentSecrets,
    Keepalive,
    ResealResult,
    SecretChange,
    SecretMetadata,
    SecretValues,
    WorkspaceId,
)
from services.auth.wire.keys import SILENCE, workspace_from


def owner_from(text: str) -> WorkspaceId | None:
    """The owner of a secret: a workspace, or nobody in particular."""
    return workspace_from(text) if text else None


def label_to(label: SecretMetadata) -> pb.Secret:
    """What may be told of a secret."""
    return pb.Secret(
        key=label.key,
        is_global=label.workspace_id is None,
        created_at=_timestamp(label.created_at),
        updated_at=_timestamp(label.updated_at),
    )


def published_to(told: SecretValues) -> pb.ReadSecretsResponse:
    """The values for the workspace itself, or why there are none."""
    return pb.ReadSecretsResponse(values=told.values, failed_keys=told.failed)


def opened_to(opened: EnvironmentSecrets) -> pb.ReadEnvironmentResponse:
    """The values for an instance."""
    return pb.ReadEnvironmentResponse(global_secrets=opened.global_secrets, workspace_secrets=opened.workspace_secrets)


def news_to(news: SecretChange | Keepalive) -> pb.WatchSecretChangesResponse:
    """One message of the feed."""
    match news:
        case SecretChange():
            change = pb.SecretChange(
                id=news.id, workspace_id=news.workspace_id or "", key=news.key, overridden_by=news.overridden_by
            )
            return pb.WatchSecretChangesResponse(change=change)
        case Keepalive():
            return pb.WatchSecretChangesResponse(keepalive=Duration(seconds=SILENCE))
        case _:
            assert_never(news)


def resealed_to(done: ResealResult) -> pb.ResealResponse:
    """What was sealed anew."""
    return pb.ResealResponse(resealed=done.resealed, remaining=done.remaining, key_version=done.key_version)


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
