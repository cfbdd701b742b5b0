"""Errors about organisations, teams and bundles. Their texts are specified in docs/spec/rest.md."""

from collections.abc import Sequence
from typing import Any

from services.chassis import errors


class _OrganisationError:
    domain = "molecule.registry.v1"


class InvalidOrgDirectory(_OrganisationError, errors.InvalidArgument):
    reason = "INVALID_ORG_DIRECTORY"
    message = "invalid org directory"


class OrgExpansionFailed(_OrganisationError, errors.InvalidArgument):
    """A file of the organisation cannot be read. The detail names the file and the reason."""

    reason = "ORG_EXPANSION_FAILED"
    message = "org template expansion failed"

    def __init__(self, detail: str) -> None:
        super().__init__(details={"detail": detail})


class InvalidOrgTemplate(_OrganisationError, errors.InvalidArgument):
    """A value in the file is invalid. The detail contains its path."""

    reason = "INVALID_ORG_TEMPLATE"
    message = "invalid org template"

    def __init__(self, detail: str) -> None:
        super().__init__(details={"detail": detail})


class OrgSourceRequired(_OrganisationError, errors.InvalidArgument):
    reason = "ORG_SOURCE_REQUIRED"
    message = "provide 'dir' or 'template'"


class OrgTemplateNotFound(_OrganisationError, errors.NotFound):
    reason = "ORG_TEMPLATE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"org template not found: {name}")


class MissingEnvironment(_OrganisationError, errors.FailedPrecondition):
    reason = "MISSING_ENVIRONMENT"
    message = "missing required environment"

    def __init__(self, missing: Sequence[Any]) -> None:
        super().__init__(
            details={
                "missing": list(missing),
                "suggestion": "set these as global secrets (POST /settings/secrets), then import again",
            }
        )


class NoConfig(_OrganisationError, errors.InvalidArgument):
    reason = "NO_CONFIG"
    message = "no config found for workspace"


class NoSubWorkspaces(_OrganisationError, errors.InvalidArgument):
    reason = "NO_SUB_WORKSPACES"
    message = "workspace has no sub_workspaces defined in config"


class BundleNotFound(_OrganisationError, errors.NotFound):
    reason = "BUNDLE_NOT_FOUND"
    message = "bundle not found"


class InvalidBundle(_OrganisationError, errors.InvalidArgument):
    """The content is not a valid bundle. The detail contains the path of the wrong value."""

    reason = "INVALID_BUNDLE"
    message = "invalid bundle"

    def __init__(self, detail: str) -> None:
        super().__init__(details={"detail": detail})
