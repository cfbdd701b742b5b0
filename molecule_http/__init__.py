"""The HTTP/1.1 server of the gateway and of agents: limits, deadlines, upgrades and framing of connections."""
