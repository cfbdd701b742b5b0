"""Stored events of the proxy: an outbox, written in the transaction of what happened, and its relay to the registry.

| Module   | What it holds                                                   |
|----------|-----------------------------------------------------------------|
| `store`  | the outbox within a transaction: adds, reads and deletes events |
| `tables` | the table of the outbox                                         |
| `relay`  | sends the events of the outbox to the registry                  |
"""
