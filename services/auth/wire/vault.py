"""Converts the messages of `VaultService`."""

from typing import assert_never

from protos.auth.v1 import vault_pb2 as pb
from services.auth.model.feeds import Keepalive
from services.auth.model.placements import WorkspaceId
from services.auth.model.vault import EnvironmentSecrets, ResealResult, SecretChange, SecretMetadata, SecretValues
from services.auth.wire.fields import workspace_id_from
from services.chassis import variables
from services.chassis.feeds import FEED_SILENCE_LIMIT
from services.chassis.timestamps import duration_from_timedelta, timestamp_from_datetime


def owner_from(text: str) -> WorkspaceId | None:
    """Return the workspace that owns a secret; `None` for a global secret."""
    return workspace_id_from(text) if text else None


def metadata_to(metadata: SecretMetadata) -> pb.Secret:
    """Convert a secret, without its value."""
    return pb.Secret(
        key=metadata.key,
        is_global=metadata.workspace_id is None,
        created_at=timestamp_from_datetime(metadata.created_at),
        updated_at=timestamp_from_datetime(metadata.updated_at),
        is_reserved=variables.is_reserved(metadata.key),
    )


def values_to(values: SecretValues) -> pb.ReadSecretsResponse:
    """Convert the values for a workspace, or the keys that cannot be opened."""
    return pb.ReadSecretsResponse(values=values.values, failed_keys=values.failed_keys)


def environment_to(secrets: EnvironmentSecrets) -> pb.ReadEnvironmentResponse:
    """Convert the values for an instance."""
    return pb.ReadEnvironmentResponse(
        global_secrets=secrets.global_secrets, workspace_secrets=secrets.workspace_secrets
    )


def update_to(update: SecretChange | Keepalive) -> pb.WatchSecretChangesResponse:
    """Convert one message of the feed."""
    match update:
        case SecretChange():
            change = pb.SecretChange(
                id=update.id,
                workspace_id=update.workspace_id or "",
                key=update.key,
                overridden_by=update.overridden_by,
            )
            return pb.WatchSecretChangesResponse(change=change)
        case Keepalive():
            return pb.WatchSecretChangesResponse(keepalive=duration_from_timedelta(FEED_SILENCE_LIMIT))
        case _:
            assert_never(update)


def reseal_result_to(result: ResealResult) -> pb.ResealResponse:
    """Convert the result of resealing."""
    return pb.ResealResponse(resealed=result.resealed, remaining=result.remaining, key_version=result.key_version)
