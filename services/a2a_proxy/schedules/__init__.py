"""Schedules: prompts that workspaces receive at the times of cron expressions.

| Module         | What it holds                                                              |      |
|----------------|----------------------------------------------------------------------------|------|
| `cron`         | when an expression fires, in its time zone                                 | pure |
| `rules`        | which schedules are valid, and what becomes of one that is due or has run  | pure |
| `declarations` | what the schedules that a template declares change                         | pure |
| `messages`     | the message that a run sends, and what its answer means                    | pure |
| `service`      | creates, changes, lists and deletes schedules                              |      |
| `scheduler`    | fires the schedules that are due                                           |      |
| `followers`    | applies what templates declare, and what the removal of a workspace means  |      |
| `reported_load`| whether a workspace has room, from the heartbeats of its agent             |      |
| `store`        | schedules and their runs within one transaction                            |      |
| `tables`       | the tables of schedules, runs and declarations                             |      |
| `wire`         | conversion between protobuf and the model                                  |      |
| `api`          | the servicer                                                               |      |
"""
