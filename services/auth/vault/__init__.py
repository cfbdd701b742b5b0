"""Secrets of workspaces, global secrets and inbound secrets, sealed at rest."""
