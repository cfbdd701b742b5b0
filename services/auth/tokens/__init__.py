"""Issues, lists, rotates and revokes tokens of workspaces and organisations, and browser sessions."""
