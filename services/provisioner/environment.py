"""What an instance finds in its environment: global secrets, then its own, then what they mean, then the plane's words.

Each overrides what comes before it. A backend adds where the agent listens and where its files are.
"""

from collections.abc import Mapping

from services.chassis import variables
from services.provisioner.errors import MissingEnvironment
from services.provisioner.model import Environment, Provider, Runtime, Secrets, Wish

MODEL = "MODEL"
ANTHROPIC_KEY = "ANTHROPIC_API_KEY"
ANTHROPIC_TOKEN = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105 - the name of a variable
ANTHROPIC_URL = "ANTHROPIC_BASE_URL"


def resolved(wish: Wish, runtime: Runtime, secrets: Secrets, *, platform_url: str) -> Environment:
    """Every variable and its value; raises `MissingEnvironment` where one that is needed is not among them."""
    found = _projected(_given(secrets), runtime, model=wish.model) | _own(wish, platform_url)
    missing = [" or ".join(names) for names in runtime.required if not any(found.get(name) for name in names)]
    if missing:
        raise MissingEnvironment(missing)
    return tuple(sorted(found.items()))


def provider_for(model: str, providers: tuple[Provider, ...]) -> Provider | None:
    """Who serves a model: the one with the longest beginning of its name."""
    fitting = [
        (len(prefix), provider)
        for provider in providers
        for prefix in provider.prefixes
        if model.lower().startswith(prefix)
    ]
    return max(fitting, key=lambda found: found[0])[1] if fitting else None


def base_url(text: str) -> str:
    """The address as SDKs want it: they append `/v1` themselves."""
    return text.rstrip("/").removesuffix("/v1").rstrip("/")


def _given(secrets: Secrets) -> dict[str, str]:
    """What users set. What only the plane may set is left out, however it got into the vault."""
    merged = {**secrets.of_all, **secrets.own}
    return {name: value for name, value in merged.items() if value and not variables.is_reserved(name)}


def _projected(given: Mapping[str, str], runtime: Runtime, *, model: str | None) -> dict[str, str]:
    """What was given, and what follows from it for this runtime. The model that was chosen wins over a secret MODEL."""
    found = dict(given)
    model = model or next((found[name] for name in (MODEL, *runtime.model_variables) if name in found), None)
    if model:
        found |= dict.fromkeys((MODEL, *runtime.model_variables), model)
    provider = _provider(found, runtime, model)
    if provider is None:
        return found
    if runtime.provider_variable:
        found.setdefault(runtime.provider_variable, provider.name)
    return _with_anthropic(found, provider) if runtime.speaks_anthropic else found


def _provider(found: Mapping[str, str], runtime: Runtime, model: str | None) -> Provider | None:
    """The provider that was selected, else the one that serves the model."""
    selected = found.get("MODEL_PROVIDER", "").lower()
    named = next((provider for provider in runtime.providers if provider.name == selected), None)
    return named or (provider_for(model, runtime.providers) if model else None)


def _with_anthropic(found: dict[str, str], provider: Provider) -> dict[str, str]:
    """The provider's key and address under Anthropic's names.

    Anthropic's own key is taken out then: an agent would send it along to the other address.
    """
    key = next((found[name] for name in provider.keys if name in found), None)
    if key is None or not provider.anthropic_url:
        return found
    others = {name: value for name, value in found.items() if name != ANTHROPIC_KEY}
    return others | {ANTHROPIC_TOKEN: key, ANTHROPIC_URL: base_url(provider.anthropic_url)}


def _own(wish: Wish, platform_url: str) -> dict[str, str]:
    """The plane's words. One that would be empty is not set: no parent is not a parent without a name."""
    own = {
        "WORKSPACE_ID": wish.workspace_id,
        "PLATFORM_URL": platform_url,
        "ADAPTER_MODULE": wish.adapter_module,
        "PARENT_ID": wish.parent_id,
    }
    return {name: value for name, value in own.items() if value}
