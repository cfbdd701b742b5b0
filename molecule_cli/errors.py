"""What goes wrong for the person at the terminal."""


class Trouble(Exception):
    """The command cannot do it; the message says why and what to do next, in one line."""
