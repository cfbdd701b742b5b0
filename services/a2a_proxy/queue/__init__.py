"""Stores accepted messages and delivers them: each one ends in exactly one final state (docs/spec/delivery.md).

| Module          | What it holds                                                                 |      |
|-----------------|-------------------------------------------------------------------------------|------|
| `model`         | messages, their states, and the results of accepting and of attempts          | pure |
| `rules`         | decides what becomes of a message after an attempt, a lost lease or a command | pure |
| `access`        | decides who may see and change messages                                       | pure |
| `activity_rows` | builds the activity rows about the end of a message                           |      |
| `tables`        | the tables of messages and of the counters                                    |      |
| `store/`        | transactions on the queue                                                     |      |
| `recent_ids`    | keeps the identities of accepted messages in memory                           |      |
| `settlement`    | stores the results of attempts, and renews and ends leases                    |      |
| `retention`     | erases messages and answers that are too old or too large                     |      |
| `acceptance`    | stores messages before their senders are answered                             |      |
| `drain`         | claims as many messages of a target as it has room for, and sends them        |      |
| `waiting_notes` | stores with messages why they wait                                            |      |
| `inbox`         | leases messages to agents that poll                                           |      |
| `operations`    | reads and changes messages on request of senders and operators                |      |
| `monitor`       | counts messages for the metrics, and checks the accounts                      |      |
| `targets`       | wakes the drain when a target may take messages again                         |      |
| `queue_feed`    | follows what any replica accepts                                              |      |
| `wire`          | converts between protobuf and the types of the queue                          |      |
| `api`           | the servicers of the queue and of the inbox                                   |      |
"""
