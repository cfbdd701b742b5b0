"""Knows whose tasks the agents work on, and shows accepted messages as tasks (docs/spec/rest.md, 6.4).

| Module         | What it holds                                                                |      |
|----------------|------------------------------------------------------------------------------|------|
| `model`        | owners of tasks, entries of the register, and what a list of tasks asks for  | pure |
| `rules`        | decides who may see and use a task                                           | pure |
| `responses`    | builds JSON-RPC responses in the dialect of a method                         | pure |
| `views`        | shows a queued message as a task                                             | pure |
| `events`       | the events of a stream about a queued message                                | pure |
| `stream_tasks` | finds the task in the first events of a stream                                | pure |
| `lists`        | reads what a list of tasks asks for, and filters the lists of agents         | pure |
| `tables`       | the table of the register                                                    |      |
| `store`        | transactions on the register, and queries on queued messages as tasks        |      |
| `register`     | notes the tasks of agents in batches, and finds their owners                 |      |
| `watching`     | wakes the streams whose queued messages have changed                         |      |
| `retention`    | erases entries that are too old or too many, and those of purged workspaces  |      |
| `webhooks`     | judges the addresses to which agents send push notifications                 |      |
| `queued_tasks` | reads, lists, cancels and follows queued messages as tasks                   |      |
| `service`      | admits requests about tasks, and notes the tasks in answers                  |      |
"""
