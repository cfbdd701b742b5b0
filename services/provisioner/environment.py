"""Builds the environment variables of an instance.

The order of precedence, lowest first: global secrets, workspace secrets, variables derived from them, and the plane's
own variables. A backend adds the agent's listen address and its directories.
"""

from collections.abc import Mapping

from services.chassis import variables
from services.provisioner.errors import MissingEnvironment
from services.provisioner.model import DesiredInstance, Environment, Provider, Runtime, Secrets

MODEL = "MODEL"
ANTHROPIC_KEY = "ANTHROPIC_API_KEY"
ANTHROPIC_TOKEN = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105 - the name of a variable
ANTHROPIC_URL = "ANTHROPIC_BASE_URL"


def resolve_environment(
    desired: DesiredInstance, runtime: Runtime, secrets: Secrets, *, platform_url: str
) -> Environment:
    """Return every variable with its value; raises `MissingEnvironment` naming all required ones that are not set."""
    derived = _derive_variables(_merge_secrets(secrets), runtime, model=desired.model)
    resolved = derived | _build_plane_variables(desired, platform_url)
    missing = [" or ".join(names) for names in runtime.required if not any(resolved.get(name) for name in names)]
    if missing:
        raise MissingEnvironment(missing)
    return tuple(sorted(resolved.items()))


def find_provider(model: str, providers: tuple[Provider, ...]) -> Provider | None:
    """Return the provider with the longest prefix of the model's name; `None` if no prefix matches."""
    matches = [
        (len(prefix), provider)
        for provider in providers
        for prefix in provider.prefixes
        if model.lower().startswith(prefix)
    ]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def strip_api_version(url: str) -> str:
    """Return the URL without a final `/v1`, which the SDKs append themselves."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _merge_secrets(secrets: Secrets) -> dict[str, str]:
    """Merge the secrets, without empty values and without names that only the plane may set."""
    merged = {**secrets.global_secrets, **secrets.workspace_secrets}
    return {name: value for name, value in merged.items() if value and not variables.is_reserved(name)}


def _derive_variables(given: Mapping[str, str], runtime: Runtime, *, model: str | None) -> dict[str, str]:
    """Add the variables that follow from the secrets. The workspace's model wins over a secret named MODEL."""
    derived = dict(given)
    model = model or next((derived[name] for name in (MODEL, *runtime.model_variables) if name in derived), None)
    if model:
        derived |= dict.fromkeys((MODEL, *runtime.model_variables), model)
    provider = _select_provider(derived, runtime, model)
    if provider is None:
        return derived
    if runtime.provider_variable:
        derived.setdefault(runtime.provider_variable, provider.name)
    return _use_anthropic_names(derived, provider) if runtime.speaks_anthropic else derived


def _select_provider(derived: Mapping[str, str], runtime: Runtime, model: str | None) -> Provider | None:
    """Return the provider named by MODEL_PROVIDER, else the one of the model."""
    selected = derived.get("MODEL_PROVIDER", "").lower()
    named = next((provider for provider in runtime.providers if provider.name == selected), None)
    return named or (find_provider(model, runtime.providers) if model else None)


def _use_anthropic_names(derived: dict[str, str], provider: Provider) -> dict[str, str]:
    """Set the provider's key and address under Anthropic's variable names.

    Anthropic's own key is removed, because an agent would send it to the provider's address.
    """
    key = next((derived[name] for name in provider.keys if name in derived), None)
    if key is None or not provider.anthropic_url:
        return derived
    others = {name: value for name, value in derived.items() if name != ANTHROPIC_KEY}
    return others | {ANTHROPIC_TOKEN: key, ANTHROPIC_URL: strip_api_version(provider.anthropic_url)}


def _build_plane_variables(desired: DesiredInstance, platform_url: str) -> dict[str, str]:
    """Return the variables that the plane sets, without empty ones: a workspace without a parent has no PARENT_ID."""
    own = {
        "WORKSPACE_ID": desired.workspace_id,
        "PLATFORM_URL": platform_url,
        "ADAPTER_MODULE": desired.adapter_module,
        "PARENT_ID": desired.parent_id,
    }
    return {name: value for name, value in own.items() if value}
