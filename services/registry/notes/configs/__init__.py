"""Configurations: a JSON object of each workspace, and the viewport of the canvas (docs/spec/rest.md, 6.15)."""
