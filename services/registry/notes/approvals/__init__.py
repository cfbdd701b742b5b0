"""Approvals: requests of agents for a person's consent (docs/spec/rest.md, 6.15)."""
