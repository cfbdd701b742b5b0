"""Reads and writes the registry's schema; together with the stores of the notes, the only place that uses SQL.

| Module           | What it holds                                                                  |
|------------------|--------------------------------------------------------------------------------|
| `transaction`    | Store and Transaction: locks, saves and numbers workspaces                     |
| `identity_map`   | the workspaces that a transaction has read                                     |
| `tree`           | ancestors, descendants, and the lock of the tree                               |
| `lists`          | pages of workspaces, peers and events                                          |
| `revisions`      | workspaces changed after a revision; connected provisioners                    |
| `vitals`         | writes the values of many heartbeats at once                                   |
| `hearing`        | when the plane could hear agents                                               |
| `idleness`       | the work of workspaces, and those that may be idle                             |
| `overdue`        | what the sweeps look for                                                       |
| `events`         | stored events and their retention                                              |
| `card_index`     | search by skill, tag and text                                                  |
| `starter_files`  | the files that instances start with                                            |
| `audit_outbox`   | audit records that are not sent yet                                            |
| `secret_changes` | how far changes of secrets are applied                                         |
| `tables/`        | the tables                                                                     |
"""
