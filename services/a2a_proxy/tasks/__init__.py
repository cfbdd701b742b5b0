"""Knows whose tasks the agents work on, and shows accepted messages as tasks (docs/spec/rest.md, 6.4).

| Module          | What it holds                                                                  |      |
|-----------------|--------------------------------------------------------------------------------|------|
| `model`         | owners, entries of the register, subscriptions, and what a list asks for       | pure |
| `rules`         | decides who may see and use a task                                             | pure |
| `responses`     | builds JSON-RPC responses in the dialect of their caller                       | pure |
| `views`         | shows a queued message as a task                                               | pure |
| `events`        | the events of a stream about a queued message                                  | pure |
| `lists`         | reads what a list of tasks asks for, and filters the lists of agents           | pure |
| `tables`        | the tables of tasks and of contexts                                            |      |
| `store/`        | transactions on the registers, and queries on queued messages as tasks         |      |
| `access`        | finds out whose tasks a caller may see                                         |      |
| `contexts`      | knows the callers that began conversations                                     |      |
| `register`      | notes the tasks of agents in batches, and finds their owners                   |      |
| `watching`      | wakes the streams whose queued messages have changed                           |      |
| `retention`     | erases entries that are too old, and those of purged workspaces                |      |
| `webhooks`      | judges the addresses to which agents send push notifications                   |      |
| `queued_tasks`  | reads, lists, cancels and follows queued messages as tasks                     |      |
| `lookup`        | finds what is known of the tasks that a request names                          |      |
| `inbox_requests`| answers requests to agents that fetch their messages, and admits the messages  |      |
| `agent_answers` | notes the tasks in the answers of agents, and filters their lists              |      |
| `service`       | admits requests about tasks, and answers for agents that fetch their messages  |      |
"""
