"""The face: HTTP in front of gRPC. It translates and decides nothing.

| Module          | What it holds                                                     |     |
|-----------------|-------------------------------------------------------------------|-----|
| `settings`      | what the environment says                                         |     |
| `app`           | wiring                                                            |     |
| `server`        | serving over HTTP, and draining                                   |     |
| `edge`          | what every request passes and every answer carries                |     |
| `forwarded`     | where a request comes from, as far as proxies are believed        | pure|
| `cors`          | which browser pages may call                                      | pure|
| `limits`        | how much, and how often                                           |     |
| `exchange`      | many messages over one stream to the A2A proxy                    |     |
| `live`          | what happens, carried to those who may hear of it                 |     |
| `listener`      | one listener, and what it has yet to hear                         |     |
| `streams`       | what a client missed, then what happens, while it may and can     |     |
| `route`         | a route as declared, and the way of a request through it          |     |
| `caller`        | header → identity, verified by auth, remembered for seconds       |     |
| `vigils`        | who stays, and must be asked about again                          |     |
| `credentials`   | what a request shows: a bearer, or a session and its CSRF token   |     |
| `bodies`        | reading, parsing and checking what clients send                   |     |
| `queries`       | numbers in query strings                                          | pure|
| `shapes/`       | what the routes take                                              | pure|
| `answers/`      | what the routes answer, where it is more than a message rendered  | pure|
| `routes`        | the tables, and one RPC for each route                            |     |
| `render/`       | replies → the JSON of the contract                                | pure|
| `extended`      | extended cards that pass with a message                           | pure|
| `cards`         | agent cards as clients of the plane may see them                  | pure|
| `connection`    | how an agent of its own finds its way here                        | pure|
| `snippets/`     | programs that are handed to agents as text                        |     |
| `errors`        | errors of the services → HTTP, in one table                       |     |
| `documentation` | the declarations → OpenAPI                                        | pure|
| `readiness`     | whether the services answer                                       |     |
| `metrics`       | what is counted                                                   |     |
| `clients`       | one line to each service                                          |     |
"""
