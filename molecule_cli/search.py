"""`molecule search`: finds workspaces by name, role, skill or tag."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from molecule_cli import terminal
from molecule_cli.output import Output, OutputFormat, print_for_scripts

HEADINGS = ("WORKSPACE", "STATUS", "ID", "SKILLS")
FLEXIBLE = frozenset({"WORKSPACE", "SKILLS"})


def search(
    text: Annotated[str | None, typer.Argument(help="Part of a name or role; all workspaces if left out.")] = None,
    *,
    skill: Annotated[str | None, typer.Option(help="The id or name of a skill on its card.")] = None,
    tag: Annotated[str | None, typer.Option(help="A tag of one of its skills.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, by name.")] = 50,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Find workspaces by name, role, skill or tag, in any case; a workspace must match all that is given.

    Shows the workspaces that the token may see: [bold]molecule search --skill translate[/].
    """
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        answer = plane.request("GET", "/registry/search", query={"q": text, "skill": skill, "tag": tag, "limit": limit})
    if print_for_scripts(output, answer, [one["id"] for one in answer["workspaces"]]):
        return
    if not answer["workspaces"]:
        terminal.print_line("no workspace matches: molecule status lists all workspaces")
        return
    columns = [tables.Column(heading, flexible=heading in FLEXIBLE) for heading in HEADINGS]
    tables.print_table(columns, _build_rows(answer["workspaces"]))
    if answer.get("next"):
        terminal.print_line("there are more: narrow the search, or raise --limit", to_stderr=True)


def _build_rows(workspaces: list[dict[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    for workspace in workspaces:
        yield workspace["name"], workspace["status"], workspace["id"], ", ".join(_list_skills(workspace["agent_card"]))


def _list_skills(card: object) -> Iterator[str]:
    """Yield the names of the skills on a card. Agents send cards, so their form is not certain."""
    skills = card.get("skills") if isinstance(card, dict) else None
    for skill in skills if isinstance(skills, list) else []:
        if isinstance(skill, dict) and isinstance(skill.get("name"), str):
            yield skill["name"]
