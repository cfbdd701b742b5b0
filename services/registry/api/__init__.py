"""The gRPC servicers: convert protobuf and call one service per RPC."""
