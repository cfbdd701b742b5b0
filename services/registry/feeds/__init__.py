"""Streams of changes: workspaces, stored events and broadcasts, and the subscriptions of callers to events."""
