"""The post: every message between agents passes here.

| Module      | What it holds                                                |     |
|-------------|--------------------------------------------------------------|-----|
| `model`     | Route, Envelope, Outcome, Receipt, Activity                  | pure|
| `envelope`  | bytes to Envelope; the older dialects made well-formed       | pure|
| `routing`   | route and envelope to Push, Leave or a refusal               | pure|
| `outcome`   | what an answer or a break means                              | pure|
| `events`    | what is told of a message that has passed                    | pure|
| `routebook` | routes in memory, kept fresh by the registry's feed          |     |
| `agents`    | HTTP to agents                                               |     |
| `patience`  | how long an answer is waited for                             |     |
| `delivery`  | ♥ deliver: the walk of a message                             |     |
| `activity`  | the log of what passed, written behind                       |     |
| `broadcasts`| telling it to whoever listens                                |     |
| `calls`     | what it asks of the registry and of the provisioner          |     |
| `store`     | transactions on the log                                      |     |
| `tables`    | its tables; `migrations/` how they came about                |     |
| `wire`      | protobuf to model and back                                   |     |
| `api`       | the servicers: many calls over one stream, and the log       |     |
| `app`       | the wiring                                                   |     |
| `settings`  | what can be set                                              |     |
| `errors`    | what can be refused                                          | pure|
"""
