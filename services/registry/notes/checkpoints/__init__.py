"""Checkpoints: completed steps of agents' workflows (docs/spec/rest.md, 6.14)."""
