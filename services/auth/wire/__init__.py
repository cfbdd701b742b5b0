"""Converts between protobuf messages and the model: one file for each contract. Malformed requests are refused."""
