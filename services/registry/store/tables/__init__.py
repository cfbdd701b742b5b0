"""The tables of the schema `registry`."""
