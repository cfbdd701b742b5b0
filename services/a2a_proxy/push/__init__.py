"""Relays push notifications: agents send them to the plane, and the plane to the addresses that callers named.

| Module          | What it holds                                                                       |      |
|-----------------|-------------------------------------------------------------------------------------|------|
| `model`         | targets of notifications, and the notifications that wait                           | pure |
| `sealing`       | encrypts what callers configure with the secret of the address that agents receive  | pure |
| `configs`       | puts addresses of the plane into requests, and those of callers into answers        | pure |
| `notifications` | reads notifications of agents, and converts them for their receivers                | pure |
| `rules`         | judges configs and outcomes, and chooses the headers of notifications               | pure |
| `tables`        | the tables of targets and of notifications                                          |      |
| `store`         | transactions on both                                                                |      |
| `relay`         | has agents send their notifications to the plane                                    |      |
| `reception`     | stores what agents send                                                             |      |
| `task_reading`  | reads the task of a notification from its agent                                     |      |
| `deliveries`    | sends the stored notifications to their receivers                                   |      |
| `retention`     | erases targets that are too old, and those of purged workspaces                     |      |
| `api`           | the servicer                                                                        |      |
"""
