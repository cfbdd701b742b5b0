"""Protobuf and model, both ways."""
