"""Entries: values that agents store under keys (docs/spec/rest.md, 6.14)."""
