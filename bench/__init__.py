"""Measures the plane: `python -m bench` a message, `python -m bench.registry` the registry. See docs/performance.md.

| Module     | What it holds                                            |
|------------|----------------------------------------------------------|
| `a2a`      | an A2A echo through the plane, and past it               |
| `load`     | clients that do nothing but ask and wait                 |
| `agent`    | the fastest agent there is, so that it hides nothing     |
| `registry` | ten thousand agents: heartbeats, feed, lists, sweeps     |
| `crowd`    | who these agents are, and their workspaces as rows       |
| `beats`    | a process that plays them                                |
| `news`     | how soon a change of status reaches a subscriber         |
| `sweeping` | what looking for the silent costs                        |
| `cost`     | the time and the memory of processes                     |
"""
