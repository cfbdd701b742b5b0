"""Starts the plane on one machine: PostgreSQL, the four services and the gateway, as processes or in one event loop."""
