"""The life of a workspace: registration, heartbeats, restarts, pausing and removal.

| Module           | What it does                                                                |
|------------------|-----------------------------------------------------------------------------|
| `transitions`    | applies a fact: decides, saves, publishes, logs                             |
| `registration`   | registers agents                                                            |
| `heartbeats`     | receives heartbeats, batched                                                |
| `observations`   | applies facts that other services and the sweeps report                     |
| `restarts`       | restarts on request, with a choice of template                              |
| `renewal`        | starts new instances without a request                                      |
| `pausing`        | pauses, resumes, hibernates and wakes                                       |
| `removal`        | removes and purges                                                          |
| `secret_rollout` | starts new instances when secrets change                                    |
| `idleness`       | hibernates workspaces that have no work                                     |
| `hearing`        | records when the plane can hear agents                                      |
| `sweeps`         | finds missed heartbeats, late instances and interrupted work                |
| `address_check`  | checks the URL of an agent                                                  |
"""
