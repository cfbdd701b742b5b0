"""Instructions: texts that operators give to one agent or to all (docs/spec/rest.md, 6.16)."""
