"""The workspace as pure data and pure rules: no clock, no randomness, no I/O.

| Module                  | What it holds                                                                         |
|-------------------------|---------------------------------------------------------------------------------------|
| `model`                 | Workspace, Status, Reason, Vitals                                                     |
| `facts`                 | what can be observed of a workspace                                                   |
| `state_machine`         | `next_state(workspace, fact)`: the workspace after a fact                             |
| `hearing`               | since when silence counts                                                             |
| `idleness`              | when a workspace has been idle for long enough                                        |
| `health`                | what a heartbeat changes                                                              |
| `status_texts`          | the texts that explain a status to people                                             |
| `validation`            | limits of new and changed workspaces                                                  |
| `factory`               | a validated draft becomes a workspace                                                 |
| `hierarchy`             | which workspaces may communicate or see each other; cycles                            |
| `audiences`             | under which names events are published and subscribed to                              |
| `events`                | the events of a change                                                                |
| `event_content`         | what an event announces to other workspaces: all but the content of messages and logs |
| `audit`                 | the audit record of an action                                                         |
| `routes`                | address, delivery mode and desired state                                              |
| `card_index`            | the search terms of an agent card                                                     |
| `interfaces`            | the interfaces of an agent card                                                       |
| `agent_security`        | which secrets fulfil what an agent requires of callers                                |
| `card_reading`          | what of an agent card is stored beside the workspace                                  |
| `registration_warnings` | what of a registration the plane cannot use                                           |
| `starter_files`         | the files that an instance starts with, and the brief of its agent                    |
"""
