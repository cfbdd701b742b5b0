"""The face: HTTP in front of gRPC."""
