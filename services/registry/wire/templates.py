"""Templates as the contract writes them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from protos.registry.v1 import templates_pb2 as pb
from services.chassis.timestamps import duration_from_timedelta
from services.registry.organisations import org_file
from services.registry.organisations.org_folders import OrgTemplate
from services.registry.templates.folders import Problem, Template


def template_to(template: Template) -> pb.Template:
    """A template, as it describes itself."""
    said = template.said
    seconds = said.runtime_config.provision_timeout_seconds
    return pb.Template(
        id=template.id,
        name=said.name or template.id,
        description=said.description,
        tier=said.tier or 0,
        runtime=said.runtime,
        model=said.default_model,
        skills=said.skills,
        models=[
            pb.TemplateModel(id=model.id, name=model.name, required_env=model.required_env) for model in said.models
        ],
        required_env=said.needed,
        provision_timeout=duration_from_timedelta(timedelta(seconds=seconds)) if seconds else None,
    )


def problem_to(problem: Problem) -> pb.TemplateProblem:
    """What is wrong with a directory."""
    return pb.TemplateProblem(dir=problem.id, problem=problem.text)


def org_template_to(template: OrgTemplate) -> pb.OrgTemplate:
    """An organisation that could be imported."""
    return pb.OrgTemplate(
        dir=template.id,
        name=template.org.name,
        description=template.org.description,
        workspaces=len(template.org.planned),
        required_env=needs_to(org_file.written(template.org.required)),
        recommended_env=needs_to(org_file.written(template.org.recommended)),
    )


def needs_to(needs: Sequence[Any]) -> list[pb.EnvironmentNeed]:
    """Needs, each with the names of which one is enough."""
    return [pb.EnvironmentNeed(any_of=[need] if isinstance(need, str) else need["any_of"]) for need in needs]
