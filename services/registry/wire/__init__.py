"""Converts between protobuf and the model, in both directions."""
