"""The `molecule` command: a REST client of the plane that can also start one."""
