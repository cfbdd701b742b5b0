"""The HTTP+JSON (REST) binding of A2A 1.0 and 0.3, on both sides of a JSON-RPC request. Pure, JSON to JSON.

A client of the binding is served by an agent of JSON-RPC 1.0:

`routes`    the operation that an HTTP method and a path name, and the path of an operation
`queries`   the query parameters of an operation
`requests`  an HTTP request as a JSON-RPC request of 1.0
`answers`   the answer to it as an HTTP answer
`streams`   one event of a streamed answer at a time
`receipts`  a message that the plane has accepted for later, as a task
`refusals`  refusals of the plane as errors of the binding

A caller of JSON-RPC is served by an agent that offers HTTP+JSON only:

`agent_requests`  a JSON-RPC request of either dialect as an HTTP request
`agent_answers`   the agent's HTTP answer, or one event of its stream, as a JSON-RPC answer

What both use:

`model`           the values of the binding
`statuses`        the HTTP status and the canonical code of each error code of A2A
`error_bodies`    errors: the JSON-RPC error object, and the body of an HTTP answer
`proto_messages`, `proto_events`, `proto_params`, `proto_results`
                  the proto JSON of 0.3 (`a2a.v1`), which its REST binding carries instead of the JSON of JSON-RPC:
                  `read_...` makes the JSON of it, `render_...` the proto JSON

0.3 is converted in two steps: between its proto JSON and its JSON here, and between its JSON and 1.0 by the modules
outside of this room.
"""
