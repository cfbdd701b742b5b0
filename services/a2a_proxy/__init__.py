"""Delivers messages to agents, records the activity of workspaces, and takes what agents report.

| Module                | What it holds                                                          |      |
|-----------------------|------------------------------------------------------------------------|------|
| `model`               | Route, Envelope, the outcomes of a dispatch, receipts, Activity        | pure |
| `errors`              | the errors that this service returns                                   | pure |
| `envelope`            | parses a message and completes it                                      | pure |
| `dispatch_plan`       | decides where a message is sent, in which dialect of A2A               | pure |
| `conversion`          | converts messages and answers between the dialects of A2A              | pure |
| `requests`            | builds the requests that the plane itself sends                        | pure |
| `routing`             | checks a route; decides between push, poll and refusal                 | pure |
| `outcome`             | decides what an agent's answer or a failed dispatch means              | pure |
| `activity_broadcasts` | builds the broadcasts of an activity row                               | pure |
| `reported_activity`   | checks activity that agents report, and builds its rows                | pure |
| `agent_message`       | checks a message of an agent to people; builds its event and its row   | pure |
| `json_values`         | reads members of JSON values of which nothing is known                 | pure |
| `answer_encoding`     | finds answers that are compressed or not UTF-8                         | pure |
| `task_states`         | reads the state of a task, in both generations of A2A                  | pure |
| `emitter`             | the protocol by which parts record activity and broadcast events       | pure |
| `delivery`            | delivers one message, from the route to the receipt                    |      |
| `waiting_call`        | the caller's side of one call: its end, its window, its memory         |      |
| `chat_files`          | uploads to and downloads from agents, with rules of its own            |      |
| `route_cache`         | routes in memory, updated by the registry's feed                       |      |
| `agent_client`        | sends HTTP requests to agents                                          |      |
| `answer_protocol`     | limits what an answer may cost beside its data                         |      |
| `host_resolver`       | resolves the host names of agents without threads                      |      |
| `dispatches`          | counts the dispatches in progress of each target                       |      |
| `work`                | which workspaces have work in this replica                             |      |
| `work_reports`        | reports that work, so that only idle workspaces hibernate              |      |
| `body_budget`         | limits the memory of large messages and answers                        |      |
| `inbound_secrets`     | caches the secrets that prove a message to an agent                    |      |
| `agent_credentials`   | caches what the card of an agent requires of callers                   |      |
| `timeouts`            | the idle timeout and the deadline of one dispatch                      |      |
| `activity`            | the activity log: writes rows in batches after the answer              |      |
| `activity_search`     | searches activity, with a bounded share of the database                |      |
| `reports`             | takes what agents report: activity, and messages to people             |      |
| `broadcasts`          | publishes broadcasts to the subscribed gateways                        |      |
| `watch_list`          | who watches which item, within limits                                  |      |
| `queue/`              | accepted messages, and their delivery                                  |      |
| `delegations/`        | tasks that one workspace gives to another                              |      |
| `schedules/`          | schedules, and the scheduler that fires them                           |      |
| `platform_messages/`  | messages that the plane itself sends: initial prompts, restart notices |      |
| `stored_events/`      | the outbox of stored events, and its relay to the registry             |      |
| `clients`             | calls to the registry, to the provisioner and to auth                  |      |
| `store`               | transactions on the activity table                                     |      |
| `tables`              | the activity table; `migrations/` creates it                           |      |
| `wire`                | converts between protobuf and the model                                |      |
| `exchange`            | one stream of a gateway that carries many calls                        |      |
| `api`                 | the gRPC servicers                                                     |      |
| `app`                 | creates and connects the parts                                         |      |
| `settings`            | the settings, read from environment variables                          |      |
"""
