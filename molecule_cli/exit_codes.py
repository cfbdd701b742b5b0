"""The exit codes of all commands. `docs/cli.md` lists them."""

FAILED = 1
"""The command failed or was refused; standard error says why and names the next command."""

TASK_FAILED = 3
"""The task of a message failed, or was rejected or canceled; or a workspace that the command waits for failed."""

INPUT_NEEDED = 4
"""The agent needs input or authorisation to continue."""

NOT_FINISHED = 5
"""The request is accepted, and what the command waits for has not happened yet."""
