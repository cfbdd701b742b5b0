"""The HTTP gateway in front of the gRPC services. It translates and decides nothing about the domain.

| Module                | What it holds                                                              |      |
|-----------------------|----------------------------------------------------------------------------|------|
| `settings`            | settings from environment variables                                        |      |
| `server`              | serving over HTTP, and draining requests at the end                        |      |
| `app`                 | the wiring                                                                 |      |
| `middleware`          | what every request passes: host, origin, rate limit, metrics, headers      |      |
| `request_context`     | what the middleware reads from the headers of a request                    |      |
| `hosts`               | the host names under which the gateway answers                             | pure |
| `fetch_metadata`      | which page a browser says that a request comes from                        | pure |
| `proxy_headers`       | the client address and the URL of the plane behind trusted proxies         | pure |
| `cors`                | which browser pages may call                                               | pure |
| `limits`              | sizes of bodies, and rates of requests                                     |      |
| `routing`             | finds the endpoint of a method and path                                    |      |
| `route`               | the declaration of a route, and a request that passed its guard            |      |
| `guards`              | the gate at auth that a route requires                                     |      |
| `endpoint`            | takes a request through the checks of its route to the handler             |      |
| `routes/`             | the routes, by noun, with one RPC for each                                 |      |
| `schemas/`            | request bodies, answers and their rendering, by noun                       | pure |
| `request_body`        | reads, parses and validates bodies                                         |      |
| `parsing_turns`       | lets large bodies be parsed one after another                              |      |
| `query_params`        | parses numbers of the query                                                | pure |
| `ids`                 | parses ids                                                                 | pure |
| `json_format`         | JSON and timestamps of the public contract                                 | pure |
| `errors`              | errors of the services as HTTP responses, in one table                     |      |
| `credentials`         | the bearer or the browser session of a request                             | pure |
| `authentication`      | credentials become identities                                              |      |
| `authorization_cache` | answers of auth, kept for seconds or until a revocation                    |      |
| `reauthorisation`     | open connections that are authorised again                                 |      |
| `event_feed`          | follows the events of the plane and publishes them                         |      |
| `subscriber_index`    | subscribers by audience                                                    |      |
| `subscriptions`       | the unread events of one client                                            |      |
| `event_reader`        | missed events, then current ones, for one client                           |      |
| `live_event`          | an event as frames of event streams and WebSockets                         | pure |
| `exchange`            | messages over one stream to each A2A proxy                                 |      |
| `message_request`     | admits a message: its caller, its body, and the call to the proxy          |      |
| `message_reply`       | sends the reply to a message, in one of its forms                          |      |
| `rest_call`           | a call of the HTTP+JSON binding of A2A: its request and its reply          |      |
| `rest_errors`         | errors in the form of the HTTP+JSON binding                                |      |
| `event_memory`        | limits the memory of incomplete events of converted streams                |      |
| `file_transfers`      | chat files, one stream to the A2A proxy for each                           |      |
| `agent_cards`         | agent cards for clients of the plane                                       | pure |
| `card_addresses`      | hides the addresses of agents in what their cards say                      | pure |
| `card_rewriting`      | extended cards in replies of every binding                                 |      |
| `card_cache`          | cards that were rendered last                                              |      |
| `card_signing`        | signs agent cards with the key of the plane                                |      |
| `preconditions`       | whether a client already has what it asks for                              | pure |
| `extended_card`       | extended agent cards in replies to messages                                | pure |
| `connect_snippets`    | what an external agent needs to connect                                    | pure |
| `snippets/`           | programs that agents receive as text                                       |      |
| `documentation`       | the OpenAPI document from the declarations of the routes                   | pure |
| `documentation_texts` | texts and parameter schemas that operations of the document share          | pure |
| `rest_documentation`  | the HTTP+JSON binding of A2A in the OpenAPI document                       | pure |
| `examples`            | examples of requests and answers, from their schemas                       | pure |
| `readiness`           | health checks of the services                                              |      |
| `metrics`             | metrics for Prometheus                                                     |      |
| `clients`             | gRPC channels to the services                                              |      |
"""
