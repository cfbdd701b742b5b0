"""Measures the plane: `python -m bench` a message, `bench.registry` the registry, `bench.delivery` the queue.

See docs/performance.md.

| Module          | What it holds                                                       |
|-----------------|---------------------------------------------------------------------|
| `a2a`           | an A2A echo, through the plane and directly                         |
| `load`          | a process of clients that send requests without a pause             |
| `agent`         | a minimal agent, so that its own time does not count                |
| `delivery`      | the queue: accepting, draining, and memory under load               |
| `queue_load`    | a process of clients whose messages are accepted                    |
| `registry`      | the registry with ten thousand agents: heartbeats, feed, list, sweeps |
| `population`    | the agents of a benchmark and their rows in the database            |
| `heartbeats`    | a process that sends the heartbeats of many agents                  |
| `feed_latency`  | the time from a heartbeat to the event that a subscriber receives   |
| `sweeps`        | the cost of the sweeps that look for silent agents                  |
| `conversion`    | the conversion between A2A 0.3 and 1.0, in microseconds             |
| `process_cost`  | the processor time and memory of processes                          |
"""
