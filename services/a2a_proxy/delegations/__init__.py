"""Delegations: tasks that one workspace gives to another; each is stored before anything is sent.

| Module          | What it holds                                                                          |      |
|-----------------|----------------------------------------------------------------------------------------|------|
| `model`         | delegations, their states, and what an agent's answer means                            | pure |
| `errors`        | the refusals of delegations                                                            | pure |
| `rules`         | limits, lineage, deadlines and budgets of new delegations                              | pure |
| `lineage_token` | signs and verifies the token that names the delegation under which a workspace works   | pure |
| `messages`      | builds the A2A requests of a delegation                                                | pure |
| `answers`       | reads the answer of an agent: its text, its error, or the task that it works on        | pure |
| `transitions`   | decides what becomes of a delegation when its message changes, or by a command         | pure |
| `records`       | builds the activity rows and the events of a delegation                                | pure |
| `tables`        | the tables of delegations and of the key of lineage tokens                             |      |
| `store`         | transactions on delegations                                                            |      |
| `planning`      | finds the parent of a new delegation, and decides everything about it                  |      |
| `recording`     | writes a changed delegation with its activity, its event and its budget                |      |
| `cascade`       | ends delegations with everything that was delegated below them                         |      |
| `follower`      | has each delegation follow its message, in the transaction that changes the message    |      |
| `service`       | delegates, reads, records, updates and cancels                                         |      |
| `upkeep`        | ends what is overdue or belongs to removed workspaces, and erases what is old          |      |
| `wire`          | converts between protobuf and the model                                                |      |
| `api`           | the servicer                                                                           |      |
"""
