"""Streams of changes: workspaces, events (those of other services too), broadcasts, and subscriptions to events."""
