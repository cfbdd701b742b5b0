"""Templates of workspaces."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from gateway.schemas.request_model import NonEmptyText, RequestModel
from protos.registry.v1 import templates_pb2 as pb


class NewTemplate(RequestModel):
    """Body of POST /templates/import: content by path."""

    name: NonEmptyText
    files: dict[str, str]


class ImportedTemplate(TypedDict):
    """Answer of POST /templates/import."""

    id: str
    name: str
    status: Literal["imported"]


class TemplateModel(TypedDict):
    """A model that the agents of a template can use."""

    id: str
    name: NotRequired[str]
    required_env: NotRequired[list[str]]


class Template(TypedDict):
    """A template, as it describes itself."""

    id: str
    name: str
    description: str
    tier: int
    runtime: str
    model: str
    skills: list[str] | None
    skill_count: int
    models: NotRequired[list[TemplateModel]]
    required_env: NotRequired[list[str]]
    provision_timeout_seconds: NotRequired[int]


class TemplateProblem(TypedDict):
    """Why a directory is no template, or cannot be used as one."""

    dir: str
    problem: str


class TemplateList(TypedDict):
    """The templates, and what is wrong with the rest."""

    templates: list[Template]
    problems: list[TemplateProblem]


DEFAULT_TIER = 3
"""What a workspace gets whose template names none."""


def render_template(message: pb.Template) -> Template:
    """Return a template."""
    rendered = Template(
        id=message.id,
        name=message.name,
        description=message.description,
        tier=message.tier or DEFAULT_TIER,
        runtime=message.runtime,
        model=message.model,
        skills=list(message.skills) or None,
        skill_count=len(message.skills),
    )
    if message.models:
        rendered["models"] = [_render_model(model) for model in message.models]
    if message.required_env:
        rendered["required_env"] = list(message.required_env)
    if message.HasField("provision_timeout"):
        rendered["provision_timeout_seconds"] = message.provision_timeout.seconds
    return rendered


def render_problem(message: pb.TemplateProblem) -> TemplateProblem:
    """Return why a directory is not a template."""
    return TemplateProblem(dir=message.dir, problem=message.problem)


def _render_model(message: pb.TemplateModel) -> TemplateModel:
    rendered = TemplateModel(id=message.id)
    if message.name:
        rendered["name"] = message.name
    if message.required_env:
        rendered["required_env"] = list(message.required_env)
    return rendered
