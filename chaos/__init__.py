"""Kills parts of a plane under load and judges what became of every message: `make chaos`. See docs/chaos.md.

| Module         | What it holds                                                                         |      |
|----------------|---------------------------------------------------------------------------------------|------|
| `run`          | one run: load and faults, then quiet, then the verdict                                 |      |
| `faults`       | what goes wrong: processes killed, stopped and stalled, recovery, clock steps          |      |
| `subject`      | the plane with two gateways and two proxies, and its agents, as processes              |      |
| `agents`       | the agents, which write down every message before they misbehave                       |      |
| `upkeep`       | heartbeats of the agents, and the inbox of those that poll                             |      |
| `load`         | the senders, and the answers that they received                                        |      |
| `evidence`     | what senders, agents and the plane say of each message                                 |      |
| `judge`        | decides which promises were broken                                                     | pure |
| `report`       | the figures of a run as text and as JSON                                               |      |
| `model`        | the types of all these                                                                 | pure |
| `settings`     | the length and load of a run, and the settings of its plane                            |      |
| `journal`      | files of records that survive a kill                                                   |      |
| `broken_build` | runs chaos on a copy of the code that loses messages, which it has to notice           |      |
"""
