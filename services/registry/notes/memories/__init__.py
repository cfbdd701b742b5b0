"""Memories: text that agents remember alone, with their team or globally (docs/spec/rest.md, 6.14)."""
