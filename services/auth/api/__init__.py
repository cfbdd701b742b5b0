"""The gRPC servicers: one file for each contract. They convert messages and decide nothing."""
