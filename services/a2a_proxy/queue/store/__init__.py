"""Reads and writes accepted messages; the methods of a transaction are named by intent.

| Module        | What it holds                                                                     |
|---------------|-----------------------------------------------------------------------------------|
| `transaction` | opens transactions, and gathers in one class the methods of all modules below     |
| `acceptance`  | stores new messages, within the limits of the queue                               |
| `leases`      | claims messages, renews leases, and stores what became of messages                |
| `retention`   | deletes messages and answers                                                      |
| `messages`    | reads messages, and locks them                                                    |
| `identities`  | finds messages by their identity, and forgets identities                          |
| `waiting`     | what waits: for which targets, why, and until when                                |
| `accounts`    | counts messages by target and state                                               |
| `connection`  | the connection of a transaction, its time, its locks and its observers            |
| `counters`    | what the queue holds of each target and each caller                               |
| `statements`  | statements for any number of rows, and the expressions that several modules use   |
| `ranges`      | the messages of a target in one state, as ranges of an index                      |
| `rows`        | converts between rows and the types of the queue                                  |
"""
