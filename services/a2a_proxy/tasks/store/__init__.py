"""Statements on the registers of tasks and contexts, and queries on queued messages as tasks."""
