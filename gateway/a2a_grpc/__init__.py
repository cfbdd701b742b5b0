"""The gRPC binding of A2A 1.0 (`lf.a2a.v1.A2AService`), on the same calls to the proxy as the HTTP+JSON binding.

`methods`     the methods of the service and their messages
`targets`     the workspace and the tenant that a request names
`requests`    a request as the params of JSON-RPC
`answers`     JSON answers and errors as messages and statuses of gRPC
`metadata`    the metadata of a call as headers, and headers of the answer as metadata
`calls`       how many calls a client has, and how many messages are read at a time
`exchange`    one RPC as the two sides of an ASGI request
`app`         the ASGI application that answers an RPC
`server`      the gRPC server
"""
