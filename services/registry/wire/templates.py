"""Converts templates and organisations to protobuf."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from protos.registry.v1 import templates_pb2 as pb
from services.chassis.timestamps import duration_from_timedelta
from services.registry.organisations import org_file
from services.registry.organisations.org_folders import OrgTemplate
from services.registry.templates.folders import Template, TemplateProblem


def template_to(template: Template) -> pb.Template:
    """Return a template as its config.yaml describes it."""
    config = template.config
    seconds = config.runtime_config.provision_timeout_seconds
    return pb.Template(
        id=template.id,
        name=config.name or template.id,
        description=config.description,
        tier=config.tier or 0,
        runtime=config.runtime,
        model=config.default_model,
        skills=config.skills,
        models=[
            pb.TemplateModel(id=model.id, name=model.name, required_env=model.required_env) for model in config.models
        ],
        required_env=config.required_variables,
        provision_timeout=duration_from_timedelta(timedelta(seconds=seconds)) if seconds else None,
    )


def problem_to(problem: TemplateProblem) -> pb.TemplateProblem:
    """Return why a directory cannot be used as a template."""
    return pb.TemplateProblem(dir=problem.id, problem=problem.text)


def org_template_to(template: OrgTemplate) -> pb.OrgTemplate:
    """Return an organisation that can be imported."""
    return pb.OrgTemplate(
        dir=template.id,
        name=template.org.name,
        description=template.org.description,
        workspaces=len(template.org.nodes),
        required_env=needs_to(org_file.render_needs(template.org.required)),
        recommended_env=needs_to(org_file.render_needs(template.org.recommended)),
    )


def needs_to(needs: Sequence[Any]) -> list[pb.EnvironmentNeed]:
    """Return rendered needs, each with its alternative names."""
    return [pb.EnvironmentNeed(any_of=[need] if isinstance(need, str) else need["any_of"]) for need in needs]
