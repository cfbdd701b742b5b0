"""The options of `molecule ws create` and `molecule ws edit` that set fields of a workspace."""

from typing import Annotated

import typer

PANEL = "Fields"

Role = Annotated[
    str | None, typer.Option("--role", help="What it does, for people and other agents.", rich_help_panel=PANEL)
]
Tier = Annotated[
    int | None,
    typer.Option("--tier", min=1, max=4, help="Isolation and resources of its instance.", rich_help_panel=PANEL),
]
Parent = Annotated[
    str | None, typer.Option("--parent", help="The workspace above it: name, path or id.", rich_help_panel=PANEL)
]
Model = Annotated[str | None, typer.Option("--model", help="The model that its agent uses.", rich_help_panel=PANEL)]
Runtime = Annotated[str | None, typer.Option("--runtime", help="The kind of agent.", rich_help_panel=PANEL)]
Directory = Annotated[
    str | None,
    typer.Option("--workspace-dir", help="A directory of the host that it may use; absolute.", rich_help_panel=PANEL),
]
Budget = Annotated[
    int | None,
    typer.Option("--budget", min=0, metavar="CENTS", help="Limit for a month, in US cents.", rich_help_panel=PANEL),
]
MaxTasks = Annotated[
    int | None, typer.Option("--max-tasks", min=1, help="How many tasks it works on at once.", rich_help_panel=PANEL)
]
IdleMinutes = Annotated[
    int | None,
    typer.Option(
        "--idle-minutes", min=0, help="Minutes without work until it hibernates; 0: never.", rich_help_panel=PANEL
    ),
]
