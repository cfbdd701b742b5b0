"""Stores accepted messages and delivers them: each one ends in exactly one final state (docs/spec/delivery.md).

| Module       | What it holds                                                                    |      |
|--------------|----------------------------------------------------------------------------------|------|
| `model`      | messages, their states, and the results of accepting and of attempts             | pure |
| `rules`      | decides what becomes of a message after an attempt, a lost lease or a command     | pure |
| `tables`     | the tables of messages and of the counters                                        |      |
| `store`      | transactions on the queue                                                         |      |
| `monitor`    | counts messages for the metrics, and checks the accounts                          |      |
"""
