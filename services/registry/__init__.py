"""The registry: stores workspaces and their notes, decides their status, and publishes their changes.

| Subpackage       | What it holds                                                                             |
|------------------|-------------------------------------------------------------------------------------------|
| `workspace/`     | the pure core: model, facts, state machine, validation, events, audiences                 |
| `lifecycle/`     | registration, heartbeats, restarts, pausing, removal, secret rollout, sweeps              |
| `directory/`     | creation, queries, updates, cards, discovery, search, model choice, budgets               |
| `organisations/` | org files, import of organisations, teams, bundles                                        |
| `templates/`     | workspace templates and their config files                                                |
| `notes/`         | memories, entries, approvals, checkpoints, configurations, instructions; one folder each  |
| `feeds/`         | the workspace feed, the event log, subscriptions and broadcasts                           |
| `store/`         | transactions, queries and tables                                                          |
| `api/`           | the gRPC servicers                                                                        |
| `wire/`          | conversion between protobuf and the model                                                 |
| `errors/`        | the errors that callers receive                                                           |

| Module           | What it holds                                                                             |
|------------------|-------------------------------------------------------------------------------------------|
| `access`         | which workspaces a caller may see and change                                              |
| `catalog`        | runtimes, their models and limits (`catalog.yaml`)                                        |
| `clients`        | the RPCs of auth that the registry calls                                                  |
| `settings`       | the settings                                                                              |
| `app`            | builds all parts and the loops                                                            |
"""
