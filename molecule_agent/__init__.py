"""
The runtime of one agent inside a workspace. It knows the REST contract and imports no code of the plane.

settings         the configuration; the only reader of the environment
adapter          the API for authors: BaseAdapter, Turn, RuntimeCapabilities
echo             the default adapter
card             the agent card, in the form of A2A 1.0 and 0.3
backoff          the delay between two attempts to reach the plane     pure
task_tracker     the running tasks and the error rate
heartbeat        the body of a heartbeat
credentials      the token and the inbound secret, stored in files
plane_client     the REST client of the plane
turn_context     the message that the running code answers
tools/           what an agent may ask of the plane, for adapters and models
mcp              the tools as an MCP server over stdio
inbox/           fetches messages and runs each of them once
polling          starts the inbox if the delivery mode is poll
lifecycle        the loops that register and send heartbeats
delivery_journal remembers messages in a file, over a restart
message_index    the messages that the adapter has already received
task_store       the A2A tasks in memory, bounded in number and size
executor         runs the adapter and publishes its answer as A2A events
request_handler  handles A2A requests and delivers each message once
a2a_application  the A2A server, imported while the agent registers
asgi             the types of ASGI, headers, and answers in JSON
request_body     reads the body of a request into memory
file_paths       which paths may be read, and names of stored files     pure
workspace_files  opens files and directories without following links
upload_store     stores the files of one upload, all or none
upload_form      parses the form of an upload piece by piece
internal_chat_uploads  the endpoint that stores uploads
internal_file_read     the endpoint that sends files
file_endpoints   passes requests for files to these two
platform_inbound_auth  reads and refuses the bearer of the plane
http_server      the ASGI application: health, card, A2A, and files
import_filter    hides optional dependencies from imports
clock            monotonic time, which tests replace
app              assembles the agent, serves and drains
"""
