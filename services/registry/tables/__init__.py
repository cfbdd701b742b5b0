"""The schema `registry`."""
