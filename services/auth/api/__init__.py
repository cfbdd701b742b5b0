"""The servicers: they speak protobuf and decide nothing."""
